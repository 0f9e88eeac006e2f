// Files opened for appending write at the end, wherever the offset is.
// mode: checkpoint
// build: static
#include "guest.h"

int main(void) {
  char path[512], text[64];
  int log = open(guest_path(&path, "log"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  int both = open(path, O_RDWR | O_APPEND), late = open(path, O_RDWR);
  CHECK(log >= 0 && both >= 0 && late >= 0);
  CHECK(write(log, "one\n", 4) == 4 && write(both, "two\n", 4) == 4);
  CHECK(lseek(both, 1, SEEK_SET) == 1 && fcntl(late, F_SETFL, O_APPEND) == 0);

  guest_checkpoint_here();

  CHECK((fcntl(log, F_GETFL) & O_APPEND) && (fcntl(both, F_GETFL) & O_APPEND) && (fcntl(late, F_GETFL) & O_APPEND));
  CHECK(lseek(log, 0, SEEK_CUR) == 4 && lseek(late, 0, SEEK_CUR) == 0);
  CHECK(read(both, text, 2) == 2 && memcmp(text, "ne", 2) == 0);
  CHECK(write(log, "three\n", 6) == 6 && write(late, "four\n", 5) == 5 && write(both, "five\n", 5) == 5);
  CHECK(pread(both, text, sizeof text, 0) == 24 && memcmp(text, "one\ntwo\nthree\nfour\nfive\n", 24) == 0);
  return guest_pass();
}
