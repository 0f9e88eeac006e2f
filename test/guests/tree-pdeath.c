// The signal a process asked for at its parent's death: still asked for, and sent.
// mode: checkpoint
// build: static musl
#include <sys/prctl.h>

#include "tree.h"

struct shared {
  atomic_int ready, got, end;
};

static struct shared* shared;

static void on_death(int signal) {
  (void)signal;
  atomic_store(&shared->got, 1);
}

int main(void) {
  int wanted = 0;
  shared = tree_page();
  pid_t middle = fork();
  CHECK(middle >= 0);
  if (middle == 0) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      CHECK(signal(SIGUSR2, on_death) != SIG_ERR && prctl(PR_SET_PDEATHSIG, SIGUSR2) == 0);
      atomic_fetch_add(&shared->ready, 1);
      tree_wait_for_go();
      CHECK(prctl(PR_GET_PDEATHSIG, &wanted) == 0 && wanted == SIGUSR2);
      atomic_fetch_add(&shared->ready, 1);
      while (!atomic_load(&shared->got)) guest_sleep_ms(1);
      atomic_store(&shared->end, 1);
      _exit(0);
    }
    atomic_fetch_add(&shared->ready, 1);
    tree_wait_until(&shared->ready, 3);
    guest_sleep_ms(5);
    _exit(atomic_load(&shared->got) == 0 ? 0 : 50);
  }
  tree_wait_until(&shared->ready, 2);

  guest_checkpoint_here();

  CHECK(tree_status_of(middle) == 0);
  tree_wait_until(&shared->end, 1);
  return guest_pass();
}
