// One open file description in two processes has one offset; another of the same file has its own.
// mode: checkpoint
// build: static
#include <sys/wait.h>

#include "guest.h"

static off_t position(int fd) { return lseek(fd, 0, SEEK_CUR); }

int main(void) {
  char path[512], text[32], byte;
  int ask[2], answer[2];
  int shared = open(guest_path(&path, "data"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  int same = fcntl(shared, F_DUPFD_CLOEXEC, 50), separate = open(path, O_RDONLY);
  CHECK(shared >= 0 && same >= 0 && separate >= 0 && pipe(ask) == 0 && pipe(answer) == 0);
  CHECK(write(shared, "0123456789abcdefghij", 20) == 20 && lseek(shared, 3, SEEK_SET) == 3);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    close(ask[1]), close(answer[0]);
    CHECK(read(ask[0], &byte, 1) == 1);
    CHECK(position(shared) == 5 && read(shared, text, 4) == 4 && memcmp(text, "5678", 4) == 0);
    CHECK(position(separate) == 0 && lseek(separate, 11, SEEK_SET) == 11);
    CHECK(write(answer[1], "1", 1) == 1 && read(ask[0], &byte, 1) == 0);
    CHECK(fcntl(shared, F_GETFL) & O_NONBLOCK);  // a status flag is the description's
    _exit(0);
  }
  close(ask[0]), close(answer[1]);

  guest_checkpoint_here();

  CHECK(position(shared) == 3 && position(same) == 3 && read(same, text, 2) == 2 && memcmp(text, "34", 2) == 0);
  CHECK(write(ask[1], "1", 1) == 1 && read(answer[0], &byte, 1) == 1);
  CHECK(position(shared) == 9 && position(same) == 9 && position(separate) == 11);
  CHECK(fcntl(same, F_GETFD) == FD_CLOEXEC && fcntl(shared, F_GETFD) == 0);
  CHECK(fcntl(same, F_SETFL, O_NONBLOCK) == 0 && close(ask[1]) == 0);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  return guest_pass();
}
