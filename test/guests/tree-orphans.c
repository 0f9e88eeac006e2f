// A process whose parent has ended: it has another parent, the same one after a restore, and what it shares with the first process it
// still shares.
// mode: checkpoint
// build: static musl
#include "tree.h"

struct shared {
  atomic_int ready, answered;
  pid_t orphan, parent;
};

static int orphan(struct shared* shared, pid_t first_parent, int from, int to) {
  char byte;
  while (getppid() == first_parent) guest_sleep_ms(1);
  shared->orphan = getpid();
  shared->parent = getppid();
  atomic_store(&shared->ready, 1);
  CHECK(read(from, &byte, 1) == 1 && byte == 'q');
  CHECK(getpid() == shared->orphan && getppid() == shared->parent);
  CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
  CHECK(write(to, "a", 1) == 1);
  return 0;
}

int main(void) {
  struct shared* shared = tree_page();
  int questions[2], answers[2];
  char byte;
  CHECK(pipe(questions) == 0 && pipe(answers) == 0);
  pid_t middle = fork();
  CHECK(middle >= 0);
  if (middle == 0) {
    pid_t self = getpid();
    pid_t pid = fork();
    CHECK(pid >= 0);
    _exit(pid == 0 ? orphan(shared, self, questions[0], answers[1]) : 0);
  }
  CHECK(tree_status_of(middle) == 0);
  tree_wait_until(&shared->ready, 1);

  guest_checkpoint_here();

  CHECK(kill(shared->orphan, 0) == 0 && kill(middle, 0) == -1 && errno == ESRCH);
  CHECK(waitpid(shared->orphan, NULL, 0) == -1 && errno == ECHILD);
  CHECK(write(questions[1], "q", 1) == 1 && read(answers[0], &byte, 1) == 1 && byte == 'a');
  close(answers[1]);
  CHECK(read(answers[0], &byte, 1) == 0);
  return guest_pass();
}
