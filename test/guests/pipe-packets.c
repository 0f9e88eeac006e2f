// A pipe in packet mode (O_DIRECT) keeps the bounds of its packets; bytes written without the mode come behind them as a stream.
// mode: checkpoint
// build: static
#include "guest.h"

int main(void) {
  int packets[2], mixed[2];
  char got[6000];
  static char page[4096];
  guest_fill(page, sizeof page, 1);
  CHECK(pipe2(packets, O_DIRECT | O_NONBLOCK) == 0 && pipe2(mixed, O_DIRECT | O_NONBLOCK) == 0);
  CHECK(write(packets[1], "one", 3) == 3 && write(packets[1], page, 4096) == 4096 && write(packets[1], "x", 1) == 1);
  CHECK(write(mixed[1], "packet", 6) == 6 && fcntl(mixed[1], F_SETFL, O_NONBLOCK) == 0);
  CHECK(write(mixed[1], "str", 3) == 3 && write(mixed[1], "eam", 3) == 3);

  guest_checkpoint_here();

  CHECK(read(packets[0], got, sizeof got) == 3 && memcmp(got, "one", 3) == 0);
  CHECK(read(packets[0], got, 100) == 100 && memcmp(got, page, 100) == 0);  // the rest of the packet is dropped
  CHECK(read(packets[0], got, sizeof got) == 1 && read(packets[0], got, 1) == -1 && errno == EAGAIN);
  CHECK((fcntl(packets[1], F_GETFL) & O_DIRECT) && !(fcntl(mixed[1], F_GETFL) & O_DIRECT));
  CHECK(write(packets[1], "a", 1) == 1 && write(packets[1], "bc", 2) == 2);
  CHECK(read(packets[0], got, sizeof got) == 1 && read(packets[0], got, sizeof got) == 2);
  CHECK(read(mixed[0], got, sizeof got) == 6 && memcmp(got, "packet", 6) == 0);
  CHECK(read(mixed[0], got, 4) == 4 && memcmp(got, "stre", 4) == 0);
  CHECK(read(mixed[0], got, sizeof got) == 2 && read(mixed[0], got, 1) == -1 && errno == EAGAIN);
  return guest_pass();
}
