// Children of every kind of a process whose call sites are rewritten, while its threads use them: each knows its own ids, and those of
// others stay right.
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>

#include "fast.h"

extern char** environ;
static pid_t self;
static volatile int stop;

static void warm_up(void) {
  for (int i = 0; i < 100; i++) CHECK(getpid() == self && gettid() == self && getppid() != self);
}

static void* hammer(void* unused) {
  const pid_t tid = gettid();
  sigset_t mask, before;
  sigfillset(&mask);
  while (!stop) {
    CHECK(getpid() == self && gettid() == tid && kill(self, 0) == 0);
    CHECK(pthread_sigmask(SIG_BLOCK, &mask, &before) == 0 && pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
  }
  return unused;
}

static void wait_for(pid_t child) {
  int status;
  CHECK_ID(child);
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(getpid() == self);
}

static void in_child(void) {
  const pid_t own = getpid();
  if (own == self || getppid() != self || gettid() != own) _exit(1);
  for (int i = 0; i < 30; i++)
    if (getpid() != own || kill(own, 0) != 0 || kill(self, 0) != 0) _exit(2);
}

static int own_process(void* unused) {
  (void)unused;
  in_child();
  _exit(0);
}

int main(void) {
  self = getpid();
  warm_up();
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, hammer, NULL) == 0);
  char* const words[] = {"/bin/true", NULL};
  static char stack[65536];
  for (int i = 0; i < 25; i++) {
    pid_t child = fork();
    if (child == 0) {
      in_child();
      _exit(0);
    }
    wait_for(child);

    child = vfork();
    if (child == 0) {
      in_child();
      _exit(0);
    }
    wait_for(child);

    CHECK(posix_spawn(&child, words[0], NULL, NULL, words, environ) == 0);
    wait_for(child);
  }
  stop = 1;
  for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);

  // A process of its own in this memory, while this one goes on: from here on the answer may not be remembered.
  const pid_t child = clone(own_process, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
  for (int i = 0; i < 1000; i++) CHECK(getpid() == self);
  wait_for(child);
  warm_up();
  return guest_pass();
}
