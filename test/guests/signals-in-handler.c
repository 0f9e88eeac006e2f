// A checkpoint inside a signal handler, itself interrupted by a second one on an alternate stack: after the restore both return, the masks
// are those of each level, and the interrupted call goes on.
// mode: checkpoint
// build: static musl
#include <ucontext.h>

#include "guest.h"

static volatile int outer_done, inner_done;

static int blocked(int signal) {
  sigset_t mask;
  CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0);
  return sigismember(&mask, signal);
}

static void inner(int signal) {
  CHECK(signal == SIGUSR2 && blocked(SIGUSR1) && blocked(SIGUSR2) && blocked(SIGHUP));
  if (outer_done == 0) guest_checkpoint_here();
  CHECK(blocked(SIGUSR1) && blocked(SIGUSR2) && blocked(SIGHUP));
  inner_done++;
}

static void outer(int signal, siginfo_t* info, void* context) {
  CHECK(signal == SIGUSR1 && info->si_value.sival_int == 31 && blocked(SIGUSR1) && !blocked(SIGUSR2));
  CHECK(raise(SIGUSR2) == 0);
  CHECK(inner_done == 1 && blocked(SIGUSR1) && !blocked(SIGUSR2) && !blocked(SIGHUP));
  // An edit of the interrupted mask holds from the return on.
  sigaddset(&((ucontext_t*)context)->uc_sigmask, SIGTERM);
  outer_done++;
}

int main(void) {
  static char alternate[64 * 1024];
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  struct sigaction on_outer = {.sa_sigaction = outer, .sa_flags = SA_SIGINFO};
  struct sigaction on_inner = {.sa_handler = inner, .sa_flags = SA_ONSTACK};
  sigaddset(&on_inner.sa_mask, SIGHUP);
  CHECK(sigaltstack(&stack, NULL) == 0 && sigaction(SIGUSR1, &on_outer, NULL) == 0 &&
        sigaction(SIGUSR2, &on_inner, NULL) == 0);
  guest_may_go();
  double sum = 0;
  for (int i = 1; i < 1000; i++) sum += 1.0 / i;
  CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 31}) == 0);
  for (int i = 1; i < 1000; i++) sum -= 1.0 / i;
  CHECK(sum > -1e-9 && sum < 1e-9);
  CHECK(outer_done == 1 && !blocked(SIGUSR1) && !blocked(SIGUSR2) && !blocked(SIGHUP) && blocked(SIGTERM));
  inner_done = 0;
  CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 31}) == 0);
  CHECK(outer_done == 2 && inner_done == 1);
  return guest_pass();
}
