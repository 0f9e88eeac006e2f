// Actions after a restore are the program's alone: handled, ignored and default ones as they were, whatever the
// restorer's own were. mode: checkpoint build: static musl
#include "guest.h"

static void handler(int signal, siginfo_t* info, void* context) { (void)signal, (void)info, (void)context; }

static void look(struct sigaction (*actions)[65]) {
  memset(*actions, 0, sizeof *actions);
  for (int signal = 1; signal <= 64; signal++) sigaction(signal, NULL, &(*actions)[signal]);
}

int main(void) {
  static struct sigaction before[65], after[65];
  struct sigaction handled = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaddset(&handled.sa_mask, SIGUSR2);
  CHECK(sigaction(SIGUSR1, &handled, NULL) == 0 && sigaction(SIGRTMIN + 3, &handled, NULL) == 0);
  handled.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | (int)SA_RESETHAND;
  CHECK(sigaction(SIGTERM, &handled, NULL) == 0);
  CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR && signal(SIGHUP, SIG_DFL) != SIG_ERR);
  look(&before);

  guest_checkpoint_here();

  look(&after);
  for (int signal = 1; signal <= 64; signal++) {
    CHECK(before[signal].sa_sigaction == after[signal].sa_sigaction);
    CHECK(before[signal].sa_flags == after[signal].sa_flags);
    CHECK(memcmp(&before[signal].sa_mask, &after[signal].sa_mask, 8) == 0);
  }
  return guest_pass();
}
