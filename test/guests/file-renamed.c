// Files that were renamed after they were opened, and one whose name another file has taken.
// mode: checkpoint
// build: static
#include <sys/stat.h>

#include "guest.h"

int main(void) {
  char from[512], to[512], text[32];
  int moved = open(guest_path(&from, "before"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(moved >= 0 && write(moved, "moved", 5) == 5 && rename(from, guest_path(&to, "after")) == 0);
  int replaced = open(guest_path(&from, "replaced"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(replaced >= 0 && write(replaced, "old", 3) == 3);
  int other = open(guest_path(&to, "other"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(other >= 0 && write(other, "new one", 7) == 7 && rename(to, from) == 0);

  guest_checkpoint_here();

  struct stat a, b;
  CHECK(pread(moved, text, sizeof text, 0) == 5 && memcmp(text, "moved", 5) == 0);
  CHECK(fstat(moved, &a) == 0 && stat(guest_path(&to, "after"), &b) == 0 && a.st_ino == b.st_ino);
  CHECK(pread(replaced, text, sizeof text, 0) == 3 && memcmp(text, "old", 3) == 0);
  CHECK(fstat(replaced, &a) == 0 && a.st_nlink == 0 && lseek(replaced, 0, SEEK_CUR) == 3);
  CHECK(pread(other, text, sizeof text, 0) == 7 && memcmp(text, "new one", 7) == 0);
  CHECK(fstat(other, &a) == 0 && stat(guest_path(&to, "replaced"), &b) == 0 && a.st_ino == b.st_ino);
  return guest_pass();
}
