// Masks that block every signal do no harm: sigprocmask, sa_mask, waits with a mask, and a mask edited by a handler.
// build: static musl
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "guest.h"

static volatile int handled;
static sigset_t every;

// Calls that an interposer may be interested in.
static void use_calls(void) {
  char link[256];
  struct sigaction old;
  CHECK(readlink("/proc/self/exe", link, sizeof link) > 0);
  CHECK(sigaction(SIGUSR2, NULL, &old) == 0);
  pid_t child = fork();
  if (child == 0) _exit(3);
  int status;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3);
}

static void on_signal(int signal, siginfo_t* info, void* context) {
  (void)info;
  CHECK(signal == SIGUSR1);
  use_calls();
  handled++;
  if (handled == 1) memset(&((ucontext_t*)context)->uc_sigmask, 0xff, 8);
}

static void blocked_calls(void) {
  sigset_t old;
  CHECK(sigprocmask(SIG_SETMASK, &every, &old) == 0);
  use_calls();
  CHECK(sigprocmask(SIG_BLOCK, &every, NULL) == 0);
  use_calls();
  CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

// The wait's mask lets SIGUSR1 through, all else is blocked in it and in its handler.
static void waits(void) {
  sigset_t block, but_one = every;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  sigdelset(&but_one, SIGUSR1);
  CHECK(sigprocmask(SIG_BLOCK, &block, NULL) == 0);
  int before = handled;
  raise(SIGUSR1);
  CHECK(sigsuspend(&but_one) == -1 && errno == EINTR && handled == before + 1);
  raise(SIGUSR1);
  CHECK(ppoll(NULL, 0, NULL, &but_one) == -1 && errno == EINTR && handled == before + 2);
  raise(SIGUSR1);
  CHECK(pselect(0, NULL, NULL, NULL, NULL, &but_one) == -1 && errno == EINTR && handled == before + 3);
  struct epoll_event event;
  int set = epoll_create1(0);
  raise(SIGUSR1);
  CHECK(epoll_pwait(set, &event, 1, -1, &but_one) == -1 && errno == EINTR && handled == before + 4);
  use_calls();
  CHECK(sigprocmask(SIG_UNBLOCK, &block, NULL) == 0);
}

int main(void) {
  sigfillset(&every);
  memset(&every, 0xff, 8);  // also what the library keeps for itself
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigfillset(&action.sa_mask);
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  blocked_calls();
  raise(SIGUSR1);
  CHECK(handled == 1);
  sigset_t now;
  CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR2) == 1 &&
        sigismember(&now, SIGTERM) == 1);
  use_calls();
  sigemptyset(&now);
  CHECK(sigprocmask(SIG_SETMASK, &now, NULL) == 0);
  waits();
  CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 0);
  return guest_pass();
}
