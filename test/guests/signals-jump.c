// siglongjmp out of handlers that interrupt waits, many times over: masks and stacks stay right.
// build: static musl
#include <poll.h>
#include <setjmp.h>
#include <sys/time.h>

#include "guest.h"

static sigjmp_buf home;
static volatile int depth;
static volatile uintptr_t stack_top;

static void on_signal(int signal) {
  char local;
  uintptr_t here = (uintptr_t)&local;
  CHECK(stack_top - here < 200000);  // nothing piles up below the program's frames
  siglongjmp(home, signal);
}

int main(void) {
  char local;
  stack_top = (uintptr_t)&local;
  struct sigaction action = {.sa_handler = on_signal};
  sigfillset(&action.sa_mask);
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
  sigset_t block, none, now;
  sigemptyset(&none);
  sigfillset(&block);
  CHECK(sigprocmask(SIG_SETMASK, &block, NULL) == 0);
  for (volatile int i = 0; i < 3000; i++) {
    if (sigsetjmp(home, 1) == 0) {
      raise(SIGUSR1);
      if (i % 3 == 0) sigsuspend(&none);
      if (i % 3 == 1) ppoll(NULL, 0, NULL, &none);
      if (i % 3 == 2) sigprocmask(SIG_SETMASK, &none, NULL);
      CHECK(!"came back");
    }
    CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 1 &&
          sigismember(&now, SIGALRM) == 1);
  }
  // At moments nobody chose.
  for (volatile int i = 0; i < 200; i++) {
    struct itimerval soon = {.it_value = {0, 1 + i * 7 % 300}};
    if (sigsetjmp(home, 1) == 0) {
      CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
      for (;;) {
        struct timespec brief = {0, 100000};
        ppoll(NULL, 0, &brief, &none);
        sigsuspend(&none);
      }
    }
  }
  return guest_pass();
}
