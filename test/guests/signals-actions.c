// sigaction reports what was set, flags and mask included; SA_RESETHAND and SA_NODEFER work; a child's changes are its
// own. build: static musl
#include <sys/wait.h>

#include "guest.h"

static volatile int nested, most, handled;

static void on_nested(int signal) {
  if (++nested > most) most = nested;
  if (most < 3) raise(signal);
  nested--;
}

static void on_once(int signal) {
  struct sigaction now;
  CHECK(sigaction(signal, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
  handled++;
}

static void on_info(int signal, siginfo_t* info, void* context) {
  (void)context;
  CHECK(info->si_signo == signal);
  handled++;
}

int main(void) {
  struct sigaction action = {.sa_handler = on_nested, .sa_flags = SA_NODEFER}, old;
  CHECK(sigaction(SIGUSR1, &action, &old) == 0 && old.sa_handler == SIG_DFL);
  raise(SIGUSR1);
  CHECK(most == 3);
  action = (struct sigaction){.sa_handler = on_once, .sa_flags = (int)SA_RESETHAND};
  CHECK(sigaction(SIGUSR1, &action, &old) == 0 && old.sa_handler == on_nested && (old.sa_flags & SA_NODEFER));
  raise(SIGUSR1);
  CHECK(handled == 1 && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);

  struct sigaction info = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
  sigaddset(&info.sa_mask, SIGTERM);
  sigaddset(&info.sa_mask, SIGSYS);
  CHECK(sigaction(SIGUSR2, &info, NULL) == 0 && sigaction(SIGUSR2, NULL, &old) == 0);
  CHECK(old.sa_sigaction == on_info &&
        (old.sa_flags & (SA_SIGINFO | SA_RESTART | SA_ONSTACK)) == (SA_SIGINFO | SA_RESTART | SA_ONSTACK));
  CHECK(sigismember(&old.sa_mask, SIGTERM) == 1 && sigismember(&old.sa_mask, SIGSYS) == 1 &&
        sigismember(&old.sa_mask, SIGHUP) == 0);
  CHECK(sigaction(SIGKILL, &info, NULL) == -1 && errno == EINVAL && sigaction(65, NULL, &old) == -1 && errno == EINVAL);
  CHECK(sigaction(SIGKILL, NULL, &old) == 0);

  // A vfork child has its parent's memory but its own actions.
  pid_t child = vfork();
  if (child == 0) {
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    int bad = sigaction(SIGUSR2, &ignore, NULL) != 0 || kill(getpid(), SIGUSR2) != 0;
    _exit(bad);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(sigaction(SIGUSR2, NULL, &old) == 0 && old.sa_sigaction == on_info);
  raise(SIGUSR2);
  CHECK(handled == 2);
  child = fork();
  if (child == 0) {
    signal(SIGUSR2, SIG_DFL);
    raise(SIGUSR2);
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2);
  raise(SIGUSR2);
  CHECK(handled == 3);
  return guest_pass();
}
