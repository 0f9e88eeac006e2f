// Descriptors of places in the file system (O_PATH): a file, a directory, a symbolic link itself.
// mode: checkpoint
// build: static
#include <sys/stat.h>

#include "guest.h"

int main(void) {
  char path[512], text[64];
  int file = open(guest_path(&path, "data"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(file >= 0 && write(file, "content", 7) == 7 && close(file) == 0);
  CHECK(symlink("data", guest_path(&path, "link")) == 0 && mkdir(guest_path(&path, "inner"), 0700) == 0);
  int place = open(guest_path(&path, "data"), O_PATH), link = open(guest_path(&path, "link"), O_PATH | O_NOFOLLOW),
      directory = open(guest_path(&path, "."), O_PATH | O_DIRECTORY | O_CLOEXEC);
  CHECK(place >= 0 && link >= 0 && directory >= 0);

  guest_checkpoint_here();

  struct stat status;
  CHECK(fstat(place, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 7);
  CHECK(read(place, text, 1) == -1 && errno == EBADF && (fcntl(place, F_GETFL) & O_PATH));
  CHECK(fstat(link, &status) == 0 && S_ISLNK(status.st_mode));
  CHECK(readlinkat(link, "", text, sizeof text) == 4 && memcmp(text, "data", 4) == 0);
  CHECK(fstatat(directory, "inner", &status, 0) == 0 && S_ISDIR(status.st_mode));
  CHECK(fcntl(directory, F_GETFD) == FD_CLOEXEC);
  snprintf(path, sizeof path, "/proc/self/fd/%d", place);
  CHECK((file = open(path, O_RDONLY)) >= 0 && read(file, text, sizeof text) == 7 && memcmp(text, "content", 7) == 0);
  CHECK((file = openat(directory, "data", O_RDONLY)) >= 0 && read(file, text, sizeof text) == 7);
  return guest_pass();
}
