// Locks on files: flock, POSIX ranges (two descriptors of one file, of which closing any would drop them) and open file description locks.
// mode: checkpoint
// build: static
#include <sys/file.h>
#include <sys/wait.h>

#include "guest.h"

static struct flock range(short type, off_t start, off_t length) {
  return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

// What another process finds: exits 0 if every lock is held as it should be.
static int look(const char* posix, const char* whole, const char* owned, pid_t parent) {
  int fd = open(posix, O_RDWR), flocked = open(whole, O_RDWR), described = open(owned, O_RDWR);
  CHECK(fd >= 0 && flocked >= 0 && described >= 0);
  struct flock lock = range(F_WRLCK, 10, 5);
  CHECK(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK && lock.l_start == 10 && lock.l_len == 10);
  CHECK(lock.l_pid == parent);
  lock = range(F_WRLCK, 100, 1);
  CHECK(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_RDLCK && lock.l_start == 100 && lock.l_len == 0);
  lock = range(F_RDLCK, 100, 1);
  CHECK(fcntl(fd, F_SETLK, &lock) == 0);
  lock = range(F_WRLCK, 0, 10);
  CHECK(fcntl(fd, F_SETLK, &lock) == 0);
  CHECK(flock(flocked, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
  lock = range(F_RDLCK, 0, 4);
  CHECK(fcntl(described, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK && lock.l_start == 2 && lock.l_len == 3);
  CHECK(lock.l_pid == -1);
  return 0;
}

int main(void) {
  char posix[512], whole[512], owned[512];
  int first = open(guest_path(&posix, "posix"), O_RDWR | O_CREAT | O_TRUNC, 0600), second = open(posix, O_RDWR);
  CHECK(first >= 0 && second >= 0 && write(first, "0123456789", 10) == 10);
  struct flock lock = range(F_WRLCK, 10, 10);
  CHECK(fcntl(first, F_SETLK, &lock) == 0);
  lock = range(F_RDLCK, 100, 0);
  CHECK(fcntl(second, F_SETLK, &lock) == 0);
  int flocked = open(guest_path(&whole, "flock"), O_RDWR | O_CREAT | O_TRUNC, 0600), copy = dup(flocked);
  CHECK(flocked >= 0 && copy >= 0 && flock(flocked, LOCK_EX) == 0);
  int described = open(guest_path(&owned, "owned"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  lock = range(F_WRLCK, 2, 3);
  CHECK(described >= 0 && fcntl(described, F_OFD_SETLK, &lock) == 0);

  guest_checkpoint_here();

  int status;
  pid_t self = getpid(), child = fork();
  CHECK(child >= 0);
  if (child == 0) _exit(look(posix, whole, owned, self));
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(close(flocked) == 0);  // the description is still there
  int other = open(whole, O_RDWR);
  CHECK(other >= 0 && flock(other, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
  CHECK(close(copy) == 0 && flock(other, LOCK_EX | LOCK_NB) == 0);
  CHECK(close(second) == 0);  // drops all POSIX locks of this process on the file
  if ((child = fork()) == 0) {
    lock = range(F_WRLCK, 0, 0);
    _exit(fcntl(first, F_SETLK, &lock) != 0);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
  return guest_pass();
}
