// Named pipes: both ends by name, one opened for both, bytes in flight, a writer that is gone.
// mode: checkpoint
// build: static
#include <sys/stat.h>

#include "guest.h"

int main(void) {
  char path[512], got[64];
  CHECK(mkfifo(guest_path(&path, "fifo"), 0600) == 0);
  int reader = open(path, O_RDONLY | O_NONBLOCK), writer = open(path, O_WRONLY | O_CLOEXEC);
  CHECK(reader >= 0 && writer >= 0 && write(writer, "in flight", 9) == 9);
  CHECK(mkfifo(guest_path(&path, "both"), 0600) == 0);
  int both = open(path, O_RDWR);
  CHECK(both >= 0 && write(both, "loop", 4) == 4);
  CHECK(mkfifo(guest_path(&path, "left"), 0600) == 0);
  int left = open(path, O_RDONLY | O_NONBLOCK), gone = open(path, O_WRONLY);
  CHECK(left >= 0 && gone >= 0 && write(gone, "last", 4) == 4 && close(gone) == 0);

  guest_checkpoint_here();

  struct stat status;
  CHECK(fstat(reader, &status) == 0 && S_ISFIFO(status.st_mode) && fcntl(writer, F_GETFD) == FD_CLOEXEC);
  CHECK(read(reader, got, 4) == 4 && memcmp(got, "in f", 4) == 0);
  CHECK(write(writer, "+", 1) == 1 && read(reader, got, sizeof got) == 6 && memcmp(got, "light+", 6) == 0);
  CHECK(read(reader, got, 1) == -1 && errno == EAGAIN);
  int late = open(guest_path(&path, "fifo"), O_WRONLY | O_NONBLOCK);  // the name leads to the same pipe
  CHECK(late >= 0 && write(late, "late", 4) == 4 && read(reader, got, sizeof got) == 4);
  CHECK(close(late) == 0 && close(writer) == 0 && read(reader, got, 1) == 0);
  CHECK(read(both, got, sizeof got) == 4 && memcmp(got, "loop", 4) == 0);
  CHECK((fcntl(both, F_GETFL) & O_ACCMODE) == O_RDWR && !(fcntl(both, F_GETFL) & O_NONBLOCK));
  CHECK(read(left, got, sizeof got) == 4 && memcmp(got, "last", 4) == 0 && read(left, got, 1) == 0);
  return guest_pass();
}
