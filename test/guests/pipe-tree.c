// Pipes between a parent and two children: bytes in flight, a reader that is blocked, an end that only a child has, end-of-file.
// mode: checkpoint
// build: static
#include <sys/wait.h>

#include "guest.h"

static char sent[40000], got[40000];

// Takes what the parent wrote before the checkpoint, then waits for more, and answers with the sum.
static int first_child(int in, int out) {
  size_t done = 0;
  CHECK(read(in, got, 1) == 1);  // the parent's leave to begin, after the checkpoint
  while (1) {
    ssize_t count = read(in, got + done, sizeof got - done);
    CHECK(count >= 0);
    if (count == 0) break;
    done += (size_t)count;
  }
  CHECK(done == sizeof sent && memcmp(got, sent, sizeof sent) == 0);
  CHECK(write(out, &done, sizeof done) == sizeof done);
  return 0;
}

int main(void) {
  int to_first[2], from_first[2], to_second[2];
  size_t answer = 0;
  char byte = 0;
  guest_fill(sent, sizeof sent, 3);
  CHECK(pipe(to_first) == 0 && pipe(from_first) == 0 && pipe(to_second) == 0);
  pid_t first = fork();
  CHECK(first >= 0);
  if (first == 0) {
    close(to_first[1]), close(from_first[0]), close(to_second[0]), close(to_second[1]);
    _exit(first_child(to_first[0], from_first[1]));
  }
  pid_t second = fork();  // holds the only reading end of its pipe, and nothing reads it until the checkpoint is over
  CHECK(second >= 0);
  if (second == 0) {
    close(to_first[0]), close(to_first[1]), close(from_first[0]), close(from_first[1]), close(to_second[1]);
    while (!guest_may_go()) guest_sleep_ms(10);
    CHECK(read(to_second[0], got, 8) == 8 && memcmp(got, "inflight", 8) == 0);
    CHECK(read(to_second[0], &byte, 1) == 0);
    _exit(7);
  }
  close(to_first[0]), close(from_first[1]), close(to_second[0]);
  CHECK(write(to_second[1], "inflight", 8) == 8);

  guest_checkpoint_here();

  CHECK(write(to_first[1], "!", 1) == 1);
  CHECK(write(to_first[1], sent, sizeof sent) == sizeof sent && close(to_first[1]) == 0 && close(to_second[1]) == 0);
  CHECK(read(from_first[0], &answer, sizeof answer) == sizeof answer && answer == sizeof sent);
  CHECK(read(from_first[0], &byte, 1) == 0);
  int status;
  CHECK(waitpid(first, &status, 0) == first && status == 0);
  CHECK(waitpid(second, &status, 0) == second && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  return guest_pass();
}
