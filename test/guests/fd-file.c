// Regular files: offset, O_APPEND, descriptions shared by dup, close-on-exec flags, status flags, directories and devices.
// mode: checkpoint
// build: static
#include <dirent.h>
#include <sys/stat.h>

#include "guest.h"

static off_t position(int fd) { return lseek(fd, 0, SEEK_CUR); }

int main(void) {
  char path[512], text[64];
  int file = open(guest_path(&path, "data"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  CHECK(file >= 0 && write(file, "0123456789abcdef", 16) == 16);
  CHECK(lseek(file, 4, SEEK_SET) == 4);
  int same = dup2(file, 100);
  int separate = open(path, O_RDONLY);
  CHECK(same == 100 && separate >= 0 && lseek(separate, 7, SEEK_SET) == 7);
  int append = open(guest_path(&path, "log"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  CHECK(append >= 0 && write(append, "one ", 4) == 4);
  int nothing = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY), noise = open("/dev/urandom", O_RDONLY);
  int directory = open(guest_path(&path, "."), O_RDONLY | O_DIRECTORY);
  CHECK(nothing >= 0 && zero >= 0 && noise >= 0 && directory >= 0);

  guest_checkpoint_here();

  CHECK(position(file) == 4 && position(same) == 4 && position(separate) == 7);
  CHECK(read(same, text, 3) == 3 && memcmp(text, "456", 3) == 0);
  CHECK(position(file) == 7 && position(separate) == 7);
  CHECK(lseek(separate, 0, SEEK_SET) == 0 && position(file) == 7);
  CHECK((fcntl(file, F_GETFD) & FD_CLOEXEC) && !(fcntl(same, F_GETFD) & FD_CLOEXEC));
  CHECK((fcntl(separate, F_GETFL) & O_ACCMODE) == O_RDONLY && write(separate, "x", 1) == -1 && errno == EBADF);
  CHECK(write(file, "XY", 2) == 2 && pread(separate, text, 16, 0) == 16 && memcmp(text, "0123456XY9abcdef", 16) == 0);
  CHECK(fcntl(append, F_GETFL) & O_APPEND);
  CHECK(lseek(append, 0, SEEK_SET) == 0 && write(append, "two", 3) == 3);
  int check = open(guest_path(&path, "log"), O_RDONLY);
  CHECK(read(check, text, sizeof text) == 7 && memcmp(text, "one two", 7) == 0);
  CHECK(write(nothing, text, 5) == 5 && read(nothing, text, 5) == 0);
  CHECK(read(zero, text, 5) == 5 && guest_zero(text, 5));
  CHECK(read(noise, text, sizeof text) == sizeof text && !guest_zero(text, sizeof text));
  struct stat entry;
  CHECK(fstatat(directory, "data", &entry, 0) == 0 && entry.st_size == 16);
  DIR* listing = fdopendir(directory);
  int entries = 0;
  while (readdir(listing)) entries++;
  CHECK(entries >= 4);
  return guest_pass();
}
