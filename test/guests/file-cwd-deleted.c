// A working directory that was deleted, and a deleted directory that is open.
// mode: checkpoint
// build: static
#include <sys/stat.h>

#include "guest.h"

int main(void) {
  char path[512], text[512];
  struct stat before, after;
  int parent = open(guest_path(&path, "."), O_RDONLY | O_DIRECTORY);
  CHECK(parent >= 0 && mkdirat(parent, "gone", 0700) == 0 && mkdirat(parent, "open", 0710) == 0);
  int directory = openat(parent, "open", O_RDONLY | O_DIRECTORY);
  CHECK(directory >= 0 && fchdir(parent) == 0 && chdir("gone") == 0);
  CHECK(unlinkat(parent, "gone", AT_REMOVEDIR) == 0 && unlinkat(parent, "open", AT_REMOVEDIR) == 0);

  guest_checkpoint_here();

  CHECK(syscall(SYS_getcwd, text, sizeof text) == -1 && errno == ENOENT);
  CHECK(stat(".", &after) == 0 && S_ISDIR(after.st_mode) && after.st_nlink == 0);
  CHECK(open("new", O_WRONLY | O_CREAT, 0600) == -1 && errno == ENOENT);
  CHECK(fstat(directory, &after) == 0 && S_ISDIR(after.st_mode) && after.st_nlink == 0 &&
        (after.st_mode & 0777) == 0710);
  CHECK(openat(directory, "new", O_WRONLY | O_CREAT, 0600) == -1 && errno == ENOENT);
  CHECK(access(guest_path(&path, "gone"), F_OK) == -1 && access(guest_path(&path, "open"), F_OK) == -1);
  CHECK(chdir("..") == 0 && stat(".", &after) == 0 && fstat(parent, &before) == 0 && after.st_ino == before.st_ino);
  return guest_pass();
}
