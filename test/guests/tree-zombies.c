// Children that have ended and that nobody has waited for: how they ended is told after a restore, and no SIGCHLD comes a second time.
// mode: checkpoint
// build: static musl
#include "tree.h"

static volatile sig_atomic_t told;

static void on_child(int signal) {
  (void)signal;
  told++;
}

static pid_t start(int how) {
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid != 0) return pid;
  if (how >= 0) _exit(how);
  kill(getpid(), -how);
  _exit(99);
}

// Waits for its end without taking it.
static siginfo_t ended(pid_t pid) {
  siginfo_t info = {0};
  CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0 && info.si_pid == pid);
  return info;
}

int main(void) {
  CHECK(signal(SIGCHLD, on_child) != SIG_ERR);
  int ways[] = {7, 0, -SIGTERM, -SIGKILL, 255};
  enum { kWays = sizeof ways / sizeof *ways };
  pid_t pids[kWays];
  for (int i = 0; i < kWays; i++) {
    pids[i] = start(ways[i]);
    siginfo_t info;
    do info = ended(pids[i]);
    while (info.si_pid != pids[i]);
  }
  guest_sleep_ms(10);
  int told_before = told;
  CHECK(told_before >= 1);

  guest_checkpoint_here();

  CHECK(told == told_before);
  for (int i = 0; i < kWays; i++) CHECK(kill(pids[i], 0) == 0);
  siginfo_t info = ended(pids[2]);
  CHECK(info.si_code == CLD_KILLED && info.si_status == SIGTERM);
  int status, counted = 0;
  CHECK(waitpid(pids[0], &status, WNOHANG) == pids[0] && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  for (pid_t pid; (pid = waitpid(-1, &status, 0)) > 0; counted++) {
    int way = 1;
    while (way < kWays && pids[way] != pid) way++;
    CHECK(way < kWays);
    CHECK(ways[way] >= 0 ? WIFEXITED(status) && WEXITSTATUS(status) == ways[way]
                         : WIFSIGNALED(status) && WTERMSIG(status) == -ways[way]);
  }
  CHECK(counted == kWays - 1 && errno == ECHILD && told == told_before);
  pid_t last = start(3);
  CHECK(tree_status_of(last) == 3);
  CHECK(told == told_before + 1);
  return guest_pass();
}
