// 200 processes in groups and sessions whose leaders have ended, one each: every one of them is back in its own, and signals to a group reach its
// member alone.
// mode: checkpoint
#include <sys/prctl.h>

#include "tree.h"

enum { kMembers = 200 };

struct shared {
  atomic_int ready, back, told, signals[kMembers];
  pid_t pids[kMembers], leaders[kMembers], groups[kMembers], sessions[kMembers];
};

static struct shared* shared;
static int self;

static void on_signal(int signal) {
  (void)signal;
  atomic_fetch_add(&shared->signals[self], 1);
}

static int member(int index) {
  self = index;
  CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
  shared->pids[index] = getpid(), shared->groups[index] = getpgrp(), shared->sessions[index] = getsid(0);
  atomic_fetch_add(&shared->ready, 1);
  tree_wait_for_go();
  CHECK(getpid() == shared->pids[index] && getpgrp() == shared->groups[index]);
  CHECK(index % 2 == 0 || getsid(0) == shared->sessions[index]);
  atomic_fetch_add(&shared->back, 1);
  tree_wait_until(&shared->signals[index], 1);
  atomic_fetch_add(&shared->told, 1);
  tree_wait_until(&shared->told, kMembers);
  guest_sleep_ms(20);
  CHECK(atomic_load(&shared->signals[index]) == 1);
  return 7;
}

int main(void) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  for (int i = 0; i < kMembers; i++) {
    pid_t leader = fork();
    CHECK(leader >= 0);
    if (leader == 0) {
      CHECK(i % 2 == 0 ? setpgid(0, 0) == 0 : setsid() == getpid());
      pid_t pid = fork();
      CHECK(pid >= 0);
      if (pid == 0) _exit(member(i));
      _exit(0);
    }
    shared->leaders[i] = leader;
    CHECK(tree_status_of(leader) == 0);
  }
  tree_wait_until(&shared->ready, kMembers);
  for (int i = 0; i < kMembers; i++) CHECK(shared->groups[i] == shared->leaders[i]);

  guest_checkpoint_here();

  tree_wait_until(&shared->back, kMembers);
  for (int i = 0; i < kMembers; i++) {
    CHECK(getpgid(shared->pids[i]) == shared->leaders[i]);
    CHECK(i % 2 == 0 || getsid(shared->pids[i]) == shared->leaders[i]);
    CHECK(kill(shared->leaders[i], 0) == -1 && errno == ESRCH);
    CHECK(kill(-shared->leaders[i], SIGUSR1) == 0);
  }
  for (int i = 0; i < kMembers; i++) CHECK(tree_status_of(shared->pids[i]) == 7);
  return guest_pass();
}
