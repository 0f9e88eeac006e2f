// A pipe opened for reading and writing through /proc, and opened again as one of its ends: all are the one pipe.
// mode: checkpoint
// build: static
#include "guest.h"

int main(void) {
  int pair[2], alone[2];
  char path[64], got[16];
  CHECK(pipe(pair) == 0 && pipe(alone) == 0);
  snprintf(path, sizeof path, "/proc/self/fd/%d", pair[0]);
  int both = open(path, O_RDWR | O_NONBLOCK), reader = open(path, O_RDONLY | O_NONBLOCK);
  snprintf(path, sizeof path, "/proc/self/fd/%d", alone[0]);
  int only = open(path, O_RDWR | O_CLOEXEC);
  CHECK(both >= 0 && reader >= 0 && only >= 0);
  CHECK(close(alone[0]) == 0 && close(alone[1]) == 0);
  CHECK(write(both, "first", 5) == 5 && write(pair[1], "second", 6) == 6 && write(only, "alone", 5) == 5);

  guest_checkpoint_here();

  CHECK((fcntl(both, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDWR | O_NONBLOCK));
  CHECK((fcntl(reader, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDONLY | O_NONBLOCK));
  CHECK((fcntl(pair[0], F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDONLY);
  CHECK(read(reader, got, 3) == 3 && memcmp(got, "fir", 3) == 0);
  CHECK(read(both, got, 4) == 4 && memcmp(got, "stse", 4) == 0);
  CHECK(read(pair[0], got, sizeof got) == 4 && memcmp(got, "cond", 4) == 0);
  CHECK(read(reader, got, 1) == -1 && errno == EAGAIN);
  CHECK(write(both, "x", 1) == 1 && read(reader, got, sizeof got) == 1);
  CHECK(close(pair[1]) == 0 && read(reader, got, 1) == -1 && errno == EAGAIN);  // `both` writes, too
  CHECK(close(both) == 0 && read(reader, got, 1) == 0);
  CHECK(read(only, got, sizeof got) == 5 && memcmp(got, "alone", 5) == 0);
  CHECK(write(only, "y", 1) == 1 && read(only, got, 1) == 1 && fcntl(only, F_GETFD) == FD_CLOEXEC);
  return guest_pass();
}
