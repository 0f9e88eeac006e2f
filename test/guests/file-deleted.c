// Deleted files that are open: content with a hole, two descriptions of one file, offsets, one without a name from its birth (O_TMPFILE).
// mode: checkpoint
// build: static
#include <sys/stat.h>

#include "guest.h"

int main(void) {
  static char sent[70000], got[70000];
  char path[512], again[64];
  struct stat before, after;
  guest_fill(sent, sizeof sent, 5);
  int file = open(guest_path(&path, "gone"), O_RDWR | O_CREAT | O_TRUNC, 0640);
  CHECK(file >= 0 && write(file, sent, sizeof sent) == sizeof sent);
  CHECK(pwrite(file, sent, 5000, 1 << 20) == 5000);
  int reader = open(path, O_RDONLY | O_CLOEXEC), log = open(path, O_WRONLY | O_APPEND);
  CHECK(reader >= 0 && log >= 0 && unlink(path) == 0);
  CHECK(lseek(file, 100, SEEK_SET) == 100 && lseek(reader, 200, SEEK_SET) == 200);
  int nameless = open(guest_path(&path, "."), O_TMPFILE | O_RDWR, 0600);
  CHECK((nameless >= 0 || errno == EOPNOTSUPP) && fstat(file, &before) == 0);
  if (nameless >= 0) CHECK(write(nameless, "nameless", 8) == 8);
  int empty = open(guest_path(&path, "empty"), O_RDWR | O_CREAT, 0600);
  CHECK(empty >= 0 && unlink(path) == 0);

  guest_checkpoint_here();

  CHECK(fstat(file, &after) == 0 && after.st_nlink == 0 && after.st_size == before.st_size);
  CHECK((after.st_mode & 07777) == (before.st_mode & 07777) && S_ISREG(after.st_mode));
  CHECK(access(guest_path(&path, "gone"), F_OK) == -1 && errno == ENOENT);
  CHECK(lseek(file, 0, SEEK_CUR) == 100 && lseek(reader, 0, SEEK_CUR) == 200);
  CHECK(read(reader, got, 1000) == 1000 && memcmp(got, sent + 200, 1000) == 0);
  CHECK(pread(file, got, sizeof got, 0) == sizeof got && memcmp(got, sent, sizeof got) == 0);
  CHECK(pread(file, got, 1000, 500000) == 1000 && guest_zero(got, 1000));
  CHECK(pread(file, got, 9000, 1 << 20) == 5000 && memcmp(got, sent, 5000) == 0);
  CHECK(write(reader, "x", 1) == -1 && errno == EBADF && fcntl(reader, F_GETFD) == FD_CLOEXEC);
  CHECK(write(file, "changed", 7) == 7 && pread(reader, got, 7, 100) == 7 && memcmp(got, "changed", 7) == 0);
  CHECK(write(log, "end", 3) == 3 && pread(reader, got, 9, (1 << 20) + 5000) == 3 && memcmp(got, "end", 3) == 0);
  snprintf(again, sizeof again, "/proc/self/fd/%d", reader);
  int third = open(again, O_RDONLY);
  CHECK(third >= 0 && pread(third, got, 7, 100) == 7 && memcmp(got, "changed", 7) == 0);
  if (nameless >= 0) CHECK(pread(nameless, got, 20, 0) == 8 && memcmp(got, "nameless", 8) == 0);
  CHECK(pread(empty, got, 1, 0) == 0 && write(empty, "now", 3) == 3);
  return guest_pass();
}
