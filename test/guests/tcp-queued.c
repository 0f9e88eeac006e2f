// A TCP connection with more queued than the receiver's buffer holds, so that bytes wait at the sender, too; and bytes the other way.
// mode: checkpoint
// build: static
#include "sockets.h"

#define MOST (1 << 23)

int main(void) {
  static char sent[65536], got[65536];
  struct tcp_pair pair;
  guest_fill(sent, sizeof sent, 4);
  guest_connect(&pair);
  CHECK(fcntl(pair.client, F_SETFL, O_NONBLOCK) == 0);
  size_t total = 0, done = 0;
  while (total < 700000) {
    ssize_t count = send(pair.client, sent + total % sizeof sent, sizeof sent - total % sizeof sent, 0);
    if (count < 0) {
      CHECK(errno == EAGAIN);
      break;
    }
    total += (size_t)count;
  }
  CHECK(total > 150000 && total < MOST && send(pair.server, "other way", 9, 0) == 9);
  int waiting = 0;
  CHECK(ioctl(pair.server, FIONREAD, &waiting) == 0 && waiting > 0);

  guest_checkpoint_here();

  while (done < total) {
    size_t at = done % sizeof sent;
    ssize_t count = recv(pair.server, got, sizeof sent - at < total - done ? sizeof sent - at : total - done, 0);
    CHECK(count > 0 && memcmp(got, sent + at, (size_t)count) == 0);
    done += (size_t)count;
  }
  CHECK(recv(pair.server, got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  CHECK(recv(pair.client, got, sizeof got, 0) == 9 && memcmp(got, "other way", 9) == 0);
  CHECK(send(pair.client, "end", 3, 0) == 3 && recv(pair.server, got, 3, MSG_WAITALL) == 3);
  guest_reset(pair.client), guest_reset(pair.server);
  return guest_pass();
}
