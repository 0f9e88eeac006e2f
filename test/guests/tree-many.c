// 64 processes, each with two children at most: every one of them is back, below its own parent, with its own descriptors.
// mode: checkpoint
// build: static
#include "tree.h"

enum { kProcesses = 64 };

struct shared {
  atomic_int ready;
  pid_t pids[kProcesses + 1];
};

static struct shared* shared;

// Sums the numbers of all below; each tells its parent by a pipe.
static int run(int number, int up) {
  int from[2] = {-1, -1};
  pid_t children[2] = {0, 0}, parent = getppid();
  for (int i = 0; i < 2 && 2 * number + i <= kProcesses; i++) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK((children[i] = fork()) >= 0);
    if (children[i] == 0) {
      close(ends[0]);
      if (i == 1) close(from[0]);
      _exit(run(2 * number + i, ends[1]));
    }
    close(ends[1]);
    from[i] = ends[0];
  }
  shared->pids[number] = getpid();
  atomic_fetch_add(&shared->ready, 1);
  tree_wait_until(&shared->ready, kProcesses);
  if (number == 1) {
    guest_checkpoint_here();
  } else {
    tree_wait_for_go();
  }
  CHECK(getpid() == shared->pids[number] && getppid() == parent);
  CHECK(number == 1 || parent == shared->pids[number / 2]);
  int sum = number;
  for (int i = 0; i < 2; i++) {
    if (children[i] == 0) continue;
    int below = 0;
    CHECK(read(from[i], &below, sizeof below) == sizeof below);
    sum += below;
    CHECK(tree_status_of(children[i]) == 0);
  }
  if (up >= 0) CHECK(write(up, &sum, sizeof sum) == sizeof sum);
  CHECK(number != 1 || sum == kProcesses * (kProcesses + 1) / 2);
  return 0;
}

int main(void) {
  shared = tree_page();
  CHECK(run(1, -1) == 0);
  return guest_pass();
}
