// The monotonic clocks go on from the checkpoint: they neither jump by the time the image lay on disk nor step back, through the vdso and
// through the kernel, in several threads. The wall clock tells the true time.
// mode: checkpoint
// pause: 3
// build: static musl
#include <pthread.h>

#include "guest.h"

static const int64_t kMs = 1000000;
static const clockid_t kClocks[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME};
enum { kCount = sizeof kClocks / sizeof *kClocks };

// From the kernel itself, past the vdso.
static int64_t raw_ns(clockid_t clock) {
  struct timespec now;
  CHECK(syscall(SYS_clock_gettime, clock, &now) == 0);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void* watch(void* unused) {
  int64_t last[kCount];
  for (int i = 0; i < kCount; i++) last[i] = guest_clock_ns(kClocks[i]);
  int may_go = 0;
  for (int round = 0; !may_go || round < 20; round++) {
    may_go = guest_may_go();
    for (int i = 0; i < kCount; i++) {
      int64_t now = round % 2 ? raw_ns(kClocks[i]) : guest_clock_ns(kClocks[i]), step = now - last[i];
      if (step < 0 || step > 2000 * kMs)
        dprintf(1, "clock %d stepped by %lld ms\n", kClocks[i], (long long)(step / kMs));
      CHECK(step >= 0 && step < 2000 * kMs);
      last[i] = now;
    }
    guest_sleep_ms(10);
  }
  return unused;
}

int main(void) {
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, watch, NULL) == 0);
  guest_checkpoint_here();
  for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  for (int i = 0; i < kCount; i++) {
    int64_t apart = raw_ns(kClocks[i]) - guest_clock_ns(kClocks[i]);
    CHECK(apart > -100 * kMs && apart < 100 * kMs);
  }
  time_t wall = time(NULL);
  CHECK(wall >= raw_ns(CLOCK_REALTIME) / 1000000000 - 1);
  return guest_pass();
}
