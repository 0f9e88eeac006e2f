// Pipes: bytes in flight, capacity, flags, dup'ed ends, a closed other end.
// mode: checkpoint
// build: static
#include "guest.h"

int main(void) {
  static char sent[50000], got[50000];
  guest_fill(sent, sizeof sent, 1);
  int full[2], small[2], widowed[2], orphaned[2];
  CHECK(pipe2(full, O_CLOEXEC) == 0 && pipe2(small, O_NONBLOCK) == 0 && pipe(widowed) == 0 && pipe(orphaned) == 0);
  CHECK(write(full[1], sent, sizeof sent) == sizeof sent);
  CHECK(read(full[0], got, 1000) == 1000);
  int second = dup(full[0]);
  CHECK(fcntl(small[1], F_SETPIPE_SZ, 4096) == 4096 && write(small[1], sent, 4096) == 4096);
  CHECK(write(widowed[1], "last", 4) == 4 && close(widowed[1]) == 0);
  CHECK(close(orphaned[0]) == 0);
  signal(SIGPIPE, SIG_IGN);

  guest_checkpoint_here();

  CHECK(read(second, got, 9000) == 9000 && memcmp(got, sent + 1000, 9000) == 0);
  CHECK(read(full[0], got, sizeof got) == 40000 && memcmp(got, sent + 10000, 40000) == 0);
  CHECK(fcntl(full[0], F_GETFD) == FD_CLOEXEC && fcntl(second, F_GETFD) == 0);
  CHECK(fcntl(small[0], F_GETPIPE_SZ) == 4096);
  CHECK(write(small[1], "x", 1) == -1 && errno == EAGAIN);
  CHECK(read(small[0], got, sizeof got) == 4096 && memcmp(got, sent, 4096) == 0);
  CHECK(read(small[0], got, 1) == -1 && errno == EAGAIN);
  CHECK(write(small[1], "again", 5) == 5 && read(small[0], got, 9) == 5 && memcmp(got, "again", 5) == 0);
  CHECK(read(widowed[0], got, 9) == 4 && memcmp(got, "last", 4) == 0 && read(widowed[0], got, 9) == 0);
  CHECK(write(orphaned[1], "x", 1) == -1 && errno == EPIPE);
  return guest_pass();
}
