// Threads after a restore are whole: each has its id and can be signalled, named, joined and cancelled, new ones can be made, and the
// main thread can leave before the others. mode: checkpoint build: static
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include "guest.h"

enum { kThreads = 8 };

static volatile sig_atomic_t signalled[kThreads];
static _Thread_local int own_index = -1;
static pthread_barrier_t ready;
static volatile int go_on;
static long own_ids[kThreads];

static void note(int signal) {
  (void)signal;
  signalled[own_index] = 1;
}

static void* worker(void* argument) {
  own_index = (int)(intptr_t)argument;
  char name[16];
  snprintf(name, sizeof name, "worker-%d", own_index);
  CHECK(pthread_setname_np(pthread_self(), name) == 0);
  own_ids[own_index] = syscall(SYS_gettid);
  pthread_barrier_wait(&ready);
  while (!go_on || !signalled[own_index]) guest_sleep_ms(1);
  char now[16];
  CHECK(syscall(SYS_gettid) == own_ids[own_index]);
  CHECK(prctl(PR_GET_NAME, now) == 0 && strcmp(now, name) == 0);
  if (own_index == kThreads - 1)
    for (;;) guest_sleep_ms(1);  // cancelled
  return argument;
}

static void* late(void* argument) { return argument; }

static void* finish(void* argument) {
  pthread_t main_thread = *(pthread_t*)argument;
  CHECK(pthread_join(main_thread, NULL) == 0);
  exit(guest_pass());
}

int main(void) {
  static pthread_t threads[kThreads], last, self;
  struct sigaction action = {.sa_handler = note};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  CHECK(pthread_barrier_init(&ready, NULL, kThreads + 1) == 0);
  for (intptr_t i = 0; i < kThreads; i++) CHECK(pthread_create(&threads[i], NULL, worker, (void*)i) == 0);
  pthread_barrier_wait(&ready);

  const pid_t pid = getpid(), parent = getppid(), group = getpgrp(), session = getsid(0);

  guest_checkpoint_here();

  CHECK(getpid() == pid && getppid() == parent && getpgrp() == group && getsid(0) == session);
  CHECK(syscall(SYS_gettid) == pid);
  go_on = 1;
  for (int i = 0; i < kThreads; i++) CHECK(pthread_kill(threads[i], SIGUSR1) == 0);
  CHECK(pthread_cancel(threads[kThreads - 1]) == 0);
  for (intptr_t i = 0; i < kThreads; i++) {
    void* result;
    CHECK(pthread_join(threads[i], &result) == 0);
    CHECK(result == (i == kThreads - 1 ? PTHREAD_CANCELED : (void*)i));
  }
  CHECK(pthread_create(&last, NULL, late, (void*)5) == 0);
  void* result;
  CHECK(pthread_join(last, &result) == 0 && result == (void*)5);
  self = pthread_self();
  CHECK(pthread_create(&last, NULL, finish, &self) == 0);
  pthread_exit(NULL);
}
