// A process whose main thread has ended by pthread_exit, while others go on: it is still there, with its threads, and still without its main
// thread.
// mode: checkpoint
// build: static
#include <pthread.h>
#include <stdatomic.h>

#include "guest.h"

static atomic_int counter, ended;

static char state_of(pid_t tid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  return guest_state_in(path);
}

static void* counting(void* unused) {
  (void)unused;
  while (!atomic_load(&ended)) {
    atomic_fetch_add(&counter, 1);
    guest_sleep_ms(1);
  }
  return (void*)7;
}

static void* leading(void* unused) {
  (void)unused;
  pthread_t other;
  void* result = NULL;
  pid_t self = (pid_t)syscall(SYS_gettid), process = getpid();
  CHECK(self != process);
  CHECK(pthread_create(&other, NULL, counting, NULL) == 0);
  for (int i = 0; state_of(process) != 'Z'; i++) {
    CHECK(i < 10000);
    guest_sleep_ms(1);
  }

  guest_checkpoint_here();

  CHECK((pid_t)syscall(SYS_gettid) == self && getpid() == process);
  for (int i = 0; state_of(process) != 'Z'; i++) {
    CHECK(i < 10000);
    guest_sleep_ms(1);
  }
  int before = atomic_load(&counter);
  for (int i = 0; atomic_load(&counter) < before + 3; i++) {
    CHECK(i < 10000);
    guest_sleep_ms(1);
  }
  atomic_store(&ended, 1);
  CHECK(pthread_join(other, &result) == 0 && result == (void*)7);
  exit(guest_pass());
}

int main(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, leading, NULL) == 0);
  pthread_exit(NULL);
}
