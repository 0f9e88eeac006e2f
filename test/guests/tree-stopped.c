// Stopped children: they stay stopped, go on with SIGCONT, and their parent is told no stop twice.
// mode: checkpoint
// build: static musl
#include "tree.h"

struct shared {
  atomic_int count[2];
};

static volatile sig_atomic_t told;

static void on_child(int signal) {
  (void)signal;
  told++;
}

static char state_of(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  return guest_state_in(path);
}

static int child(atomic_int* count) {
  for (;;) {
    guest_sleep_ms(1);
    if (atomic_fetch_add(count, 1) > 1000000) return 1;
  }
}

int main(void) {
  struct shared* shared = tree_page();
  int signals[2] = {SIGSTOP, SIGTSTP}, status;
  pid_t pids[2];
  CHECK(signal(SIGCHLD, on_child) != SIG_ERR);
  for (int i = 0; i < 2; i++) {
    CHECK((pids[i] = fork()) >= 0);
    if (pids[i] == 0) _exit(child(&shared->count[i]));
    // In a group of its own, with its parent in the session: else a terminal's stop would be none (orphaned groups).
    CHECK(setpgid(pids[i], pids[i]) == 0);
    tree_wait_until(&shared->count[i], 2);
    CHECK(kill(pids[i], signals[i]) == 0);
    CHECK(waitpid(pids[i], &status, WUNTRACED) == pids[i] && WIFSTOPPED(status) && WSTOPSIG(status) == signals[i]);
  }
  guest_sleep_ms(5);
  int told_before = told, counts[2] = {shared->count[0], shared->count[1]};

  guest_checkpoint_here();

  for (int i = 0; i < 2; i++) {
    CHECK(state_of(pids[i]) == 'T' && shared->count[i] == counts[i]);
    CHECK(waitpid(pids[i], &status, WUNTRACED | WNOHANG) == 0);
  }
  CHECK(told == told_before);
  for (int i = 0; i < 2; i++) {
    CHECK(kill(pids[i], SIGCONT) == 0);
    CHECK(waitpid(pids[i], &status, WCONTINUED) == pids[i] && WIFCONTINUED(status));
    tree_wait_until(&shared->count[i], counts[i] + 3);
    CHECK(kill(pids[i], SIGSTOP) == 0);
    CHECK(waitpid(pids[i], &status, WUNTRACED) == pids[i] && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK(kill(pids[i], SIGKILL) == 0 && tree_status_of(pids[i]) == -SIGKILL);
  }
  return guest_pass();
}
