// A process that reaps what its descendants leave behind: it has got one before the checkpoint, a session's member among them, and gets
// another one after it.
// mode: checkpoint
// build: static musl
#include <sys/prctl.h>

#include "tree.h"

struct shared {
  atomic_int ready, go_on;
  pid_t left[3];
};

static int leave(struct shared* shared, int index) {
  pid_t parent = getpid(), pid = fork();
  CHECK(pid >= 0);
  if (pid != 0) return 0;
  while (getppid() == parent) guest_sleep_ms(1);
  shared->left[index] = getpid();
  atomic_fetch_add(&shared->ready, 1);
  tree_wait_until(&shared->go_on, 1);
  return 40 + index;
}

static pid_t start(struct shared* shared, int index, int session) {
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid != 0) return pid;
  if (session) CHECK(setsid() == getpid());
  _exit(leave(shared, index));
}

int main(void) {
  int on = 0, status;
  struct shared* shared = tree_page();
  CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  CHECK(tree_status_of(start(shared, 0, 0)) == 0);
  pid_t leader = start(shared, 1, 1);
  CHECK(tree_status_of(leader) == 0);
  tree_wait_until(&shared->ready, 2);
  pid_t with_children = fork();
  CHECK(with_children >= 0);
  if (with_children == 0) {
    CHECK(prctl(PR_GET_CHILD_SUBREAPER, &on) == 0 && on == 0);
    tree_wait_for_go();
    CHECK(prctl(PR_GET_CHILD_SUBREAPER, &on) == 0 && on == 0);
    _exit(leave(shared, 2));
  }

  guest_checkpoint_here();

  CHECK(prctl(PR_GET_CHILD_SUBREAPER, &on) == 0 && on == 1);
  CHECK(tree_status_of(with_children) == 0);
  tree_wait_until(&shared->ready, 3);
  CHECK(getsid(shared->left[1]) == leader && getsid(shared->left[0]) == getsid(0));
  atomic_store(&shared->go_on, 1);
  for (int i = 0; i < 3; i++) {
    pid_t pid = waitpid(-1, &status, 0);
    int index = 0;
    while (index < 3 && shared->left[index] != pid) index++;
    CHECK(index < 3 && WIFEXITED(status) && WEXITSTATUS(status) == 40 + index);
  }
  CHECK(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
  return guest_pass();
}
