// Timers whose signals go to one thread (SIGEV_THREAD_ID), as those of glibc's SIGEV_THREAD do.
// mode: checkpoint
#include <pthread.h>

#include "guest.h"

#define THREADS 3
static volatile int seen[THREADS], calls;
static volatile pid_t tids[THREADS];

static void* wait_for_ticks(void* argument) {
  int index = (int)(intptr_t)argument;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  tids[index] = (pid_t)syscall(SYS_gettid);
  for (;;) {
    siginfo_t info;
    if (sigwaitinfo(&set, &info) < 0) {
      CHECK(errno == EINTR);
      continue;
    }
    CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 100 + index);
    seen[index]++;
  }
  return NULL;
}

static void on_expiry(union sigval value) {
  CHECK(value.sival_int == 77);
  calls++;
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  timer_t timers[THREADS];
  for (int i = 0; i < THREADS; i++) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_ticks, (void*)(intptr_t)i) == 0);
    while (tids[i] == 0) guest_sleep_ms(1);
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 3, .sigev_value = {.sival_int = 100 + i}};
    event._sigev_un._tid = tids[i];
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timers[i]) == 0);
    struct itimerspec spec = {{0, 10000000}, {0, 10000000}};
    CHECK(timer_settime(timers[i], 0, &spec, NULL) == 0);
  }
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value = {.sival_int = 77}};
  event.sigev_notify_function = on_expiry;
  timer_t timer;
  struct itimerspec spec = {{0, 20000000}, {0, 20000000}};
  CHECK(timer_create(CLOCK_REALTIME, &event, &timer) == 0 && timer_settime(timer, 0, &spec, NULL) == 0);
  while (calls < 2 || seen[0] < 2 || seen[1] < 2 || seen[2] < 2) guest_sleep_ms(1);

  guest_checkpoint_here();

  int before[THREADS], calls_before = calls;
  for (int i = 0; i < THREADS; i++) before[i] = seen[i];
  while (calls < calls_before + 3 || seen[0] < before[0] + 3 || seen[1] < before[1] + 3 || seen[2] < before[2] + 3)
    guest_sleep_ms(1);
  CHECK(timer_delete(timer) == 0);
  for (int i = 0; i < THREADS; i++) CHECK(timer_delete(timers[i]) == 0);
  return guest_pass();
}
