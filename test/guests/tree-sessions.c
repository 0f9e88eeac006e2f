// Sessions: one led by a child that had made a child before, one of a daemon whose leader has ended, a grandchild's own.
// mode: checkpoint
// build: static musl
#include "tree.h"

struct place {
  pid_t pid, parent, group, session;
};

struct shared {
  atomic_int ready, ended;
  struct place before[8];
};

static struct shared* shared;

static struct place here(void) { return (struct place){getpid(), getppid(), getpgrp(), getsid(0)}; }

static _Noreturn void stay(int index) {
  shared->before[index] = here();
  atomic_fetch_add(&shared->ready, 1);
  tree_wait_for_go();
  struct place now = here();
  CHECK(memcmp(&now, &shared->before[index], sizeof now) == 0);
  for (int i = 0; i < 8; i++) {
    // Of the others, too.
    pid_t other = shared->before[i].pid;
    CHECK(other == 0 || getsid(other) == shared->before[i].session);
  }
  atomic_fetch_add(&shared->ended, 1);
  tree_wait_until(&shared->ended, 6);  // a parent's end would be another parent
  _exit(30 + index);
}

static pid_t start(void (*work)(void)) {
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    work();
    _exit(0);
  }
  return pid;
}

static void older(void) { stay(1); }
static void younger(void) { stay(2); }
static void grandchild(void) {
  CHECK(setsid() == getpid());
  stay(4);
}
static void leader(void) {
  start(older);
  tree_wait_until(&shared->ready, 1);
  CHECK(setsid() == getpid());
  start(younger);
  start(grandchild);
  stay(3);
}

static void child_of_daemon(void) { stay(6); }
static void daemon_itself(void) {
  while (getppid() == getsid(0)) guest_sleep_ms(1);
  start(child_of_daemon);
  stay(5);
}
static void daemon_leader(void) {
  CHECK(setsid() == getpid());
  start(daemon_itself);
  // Ends, and its child is somebody else's.
}

int main(void) {
  shared = tree_page();
  pid_t first = start(leader);
  tree_wait_until(&shared->ready, 4);
  pid_t passing = start(daemon_leader);
  CHECK(tree_status_of(passing) == 0);
  tree_wait_until(&shared->ready, 6);
  struct place before = here();

  guest_checkpoint_here();

  struct place now = here();
  CHECK(memcmp(&now, &before, sizeof now) == 0);
  CHECK(tree_status_of(first) == 33);
  tree_wait_until(&shared->ended, 6);
  CHECK(getsid(passing) == -1 && errno == ESRCH);
  return guest_pass();
}
