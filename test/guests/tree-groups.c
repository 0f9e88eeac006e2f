// Process groups: a pipeline's, one whose leader has ended and been waited for, the first process's own; signals reach their members and
// nobody else.
// mode: checkpoint
// build: static musl
#include "tree.h"

enum { kChildren = 7 };

struct shared {
  atomic_int ready, signals[kChildren];
  pid_t groups[kChildren];
};

static struct shared* shared;
static int self;

static void on_signal(int signal) {
  (void)signal;
  atomic_fetch_add(&shared->signals[self], 1);
}

static int child(int index, pid_t group) {
  self = index;
  CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
  for (int i = 0; getpgrp() != group; i++) {
    CHECK(i < 10000);
    guest_sleep_ms(1);
  }
  shared->groups[index] = getpgrp();
  atomic_fetch_add(&shared->ready, 1);
  tree_wait_for_go();
  CHECK(getpgrp() == shared->groups[index] && getpgid(0) == getpgrp());
  tree_wait_until(&shared->ready, 100);
  return 20 + index;
}

static pid_t start(int index, pid_t group) {
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    if (group == 0) CHECK(setpgid(0, 0) == 0);
    _exit(child(index, group == 0 ? getpid() : group));
  }
  if (group != 0 && group != getpgrp()) CHECK(setpgid(pid, group) == 0);
  return pid;
}

static int signals_of(int from, int to) {
  int sum = 0;
  for (int i = from; i < to; i++) sum += atomic_load(&shared->signals[i]);
  return sum;
}

static void expect_signals(int from, int to, int sum) {
  for (int i = 0; signals_of(from, to) < sum; i++) {
    CHECK(i < 10000);
    guest_sleep_ms(1);
  }
  guest_sleep_ms(10);
  CHECK(signals_of(from, to) == sum);
}

int main(void) {
  shared = tree_page();
  pid_t pids[kChildren], own = getpgrp();
  // 0..2 a pipeline; 3..4 a group without its leader; 5 one of its own; 6 the first process's.
  pids[0] = start(0, 0);
  tree_wait_until(&shared->ready, 1);
  pids[1] = start(1, pids[0]);
  pids[2] = start(2, pids[0]);
  pid_t leader = fork();
  CHECK(leader >= 0);
  if (leader == 0) {
    CHECK(setpgid(0, 0) == 0);
    for (;;) pause();
  }
  while (getpgid(leader) != leader) guest_sleep_ms(1);
  pids[3] = start(3, leader);
  pids[4] = start(4, leader);
  pids[5] = start(5, 0);
  pids[6] = start(6, own);
  tree_wait_until(&shared->ready, kChildren);
  CHECK(kill(leader, SIGKILL) == 0 && tree_status_of(leader) == -SIGKILL);

  guest_checkpoint_here();

  CHECK(getpgrp() == own);
  for (int i = 0; i < kChildren; i++) CHECK(getpgid(pids[i]) == shared->groups[i]);
  CHECK(kill(-pids[0], SIGUSR1) == 0);
  expect_signals(0, 3, 3);
  CHECK(kill(-leader, SIGUSR1) == 0);
  expect_signals(3, 5, 2);
  CHECK(signals_of(5, kChildren) == 0 && signals_of(0, 3) == 3);
  CHECK(kill(leader, 0) == -1 && errno == ESRCH);
  CHECK(setpgid(pids[5], pids[0]) == 0 && getpgid(pids[5]) == pids[0]);
  CHECK(setpgid(pids[1], pids[1]) == 0 && getpgid(pids[1]) == pids[1]);
  CHECK(setpgid(pids[2], leader) == 0 && getpgid(pids[2]) == leader);
  shared->groups[5] = pids[0], shared->groups[1] = pids[1], shared->groups[2] = leader;
  atomic_store(&shared->ready, 100);
  int status, of_group = 0;
  while (waitpid(-leader, &status, 0) > 0) of_group++;
  CHECK(of_group == 3 && errno == ECHILD);
  CHECK(tree_status_of(pids[0]) == 20 && tree_status_of(pids[1]) == 21 && tree_status_of(pids[5]) == 25);
  CHECK(tree_status_of(pids[6]) == 26);
  return guest_pass();
}
