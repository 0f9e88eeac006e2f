// A parent and two children: bytes in a pipe between them, a shared page, a shared file offset, and the SIGCHLDs of what ends afterwards.
// mode: checkpoint
// build: static musl
#include "tree.h"

struct shared {
  atomic_int ready, read_by_first;
};

static volatile sig_atomic_t children_ended;

static void on_child(int signal) {
  (void)signal;
  children_ended++;
}

static char sent[20000], got[20000];

static int first(struct shared* shared, int from, int file, pid_t parent) {
  atomic_fetch_add(&shared->ready, 1);
  tree_wait_for_go();
  CHECK(getppid() == parent);
  for (size_t at = 0; at < sizeof sent;) {
    ssize_t bytes = read(from, got + at, sizeof got - at);
    CHECK(bytes > 0);
    at += (size_t)bytes;
  }
  CHECK(memcmp(sent, got, sizeof sent) == 0);
  CHECK(read(from, got, 1) == 0);
  CHECK(read(file, got, 3) == 3 && memcmp(got, "345", 3) == 0);
  atomic_store(&shared->read_by_first, 1);
  return 3;
}

static int second(struct shared* shared, int file, pid_t parent) {
  atomic_fetch_add(&shared->ready, 1);
  tree_wait_until(&shared->read_by_first, 1);
  CHECK(getppid() == parent);
  CHECK(read(file, got, 2) == 2 && memcmp(got, "67", 2) == 0);
  return 4;
}

int main(void) {
  char path[512];
  int ends[2];
  guest_fill(sent, sizeof sent, 3);
  struct shared* shared = tree_page();
  CHECK(pipe(ends) == 0);
  int file = open(guest_path(&path, "shared"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(file >= 0 && write(file, "0123456789", 10) == 10 && lseek(file, 3, SEEK_SET) == 3);
  CHECK(signal(SIGCHLD, on_child) != SIG_ERR);
  pid_t parent = getpid(), pids[2];
  for (int i = 0; i < 2; i++) {
    CHECK((pids[i] = fork()) >= 0);
    if (pids[i] != 0) continue;
    close(ends[1]);
    _exit(i == 0 ? first(shared, ends[0], file, parent) : second(shared, file, parent));
  }
  close(ends[0]);
  CHECK(write(ends[1], sent, sizeof sent) == sizeof sent);
  tree_wait_until(&shared->ready, 2);

  guest_checkpoint_here();

  CHECK(children_ended == 0);
  close(ends[1]);
  CHECK(tree_status_of(pids[0]) == 3 && tree_status_of(pids[1]) == 4);
  CHECK(children_ended >= 1);
  CHECK(lseek(file, 0, SEEK_CUR) == 8);
  CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
  return guest_pass();
}
