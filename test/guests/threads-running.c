// Threads that never block: some compute, some make short system calls without pause. None loses or repeats a step.
// mode: checkpoint
// build: static
#include <pthread.h>
#include <stdatomic.h>

#include "guest.h"

enum { kThreads = 8 };

static atomic_int stop;
static _Atomic uint64_t steps[kThreads];
static int pipes[kThreads][2];

static void* compute(void* argument) {
  uint64_t x = 1, n = 0;
  while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    if (++n % 100000 == 0) guest_sleep_ms(1);
    atomic_store_explicit(&steps[(intptr_t)argument], n, memory_order_relaxed);
  }
  uint64_t again = 1;
  for (uint64_t i = 0; i < n; i++) again = again * 6364136223846793005u + 1442695040888963407u;
  CHECK(again == x);
  return NULL;
}

// Sends numbers to itself through a pipe: a call that is lost or made twice breaks the sequence.
static void* call(void* argument) {
  int* ends = pipes[(intptr_t)argument];
  uint64_t next = 0, got;
  while (!atomic_load(&stop)) {
    CHECK(write(ends[1], &next, sizeof next) == sizeof next);
    CHECK(syscall(SYS_getpid) > 0 && lseek(ends[0], 0, SEEK_CUR) == -1 && errno == ESPIPE);
    CHECK(read(ends[0], &got, sizeof got) == sizeof got && got == next);
    if (++next % 50 == 0) guest_sleep_ms(1);
    atomic_store_explicit(&steps[(intptr_t)argument], next, memory_order_relaxed);
  }
  return NULL;
}

int main(void) {
  pthread_t threads[kThreads];
  for (intptr_t i = 0; i < kThreads; i++) {
    CHECK(pipe(pipes[i]) == 0);
    CHECK(pthread_create(&threads[i], NULL, i % 2 ? compute : call, (void*)i) == 0);
  }
  guest_sleep_ms(50);
  guest_checkpoint_here();
  // Each goes on, whenever it gets its turn.
  uint64_t before[kThreads];
  for (int i = 0; i < kThreads; i++) before[i] = steps[i];
  for (int i = 0; i < kThreads; i++) {
    while (steps[i] < before[i] + 10) guest_sleep_ms(1);
  }
  guest_sleep_ms(100);
  atomic_store(&stop, 1);
  for (int i = 0; i < kThreads; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  return guest_pass();
}
