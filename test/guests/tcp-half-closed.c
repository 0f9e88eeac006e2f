// TCP connections that one side has ended: shut down with bytes behind it, and closed by a peer that is gone.
// mode: checkpoint
// build: static
#include <poll.h>

#include "sockets.h"

int main(void) {
  struct tcp_pair half, closed;
  char got[16];
  guest_connect(&half);
  guest_connect(&closed);
  CHECK(send(half.client, "last", 4, 0) == 4 && shutdown(half.client, SHUT_WR) == 0);
  CHECK(send(half.server, "back", 4, 0) == 4);
  CHECK(send(closed.client, "words", 5, 0) == 5 && close(closed.client) == 0);
  struct pollfd end = {closed.server, POLLRDHUP, 0};
  CHECK(poll(&end, 1, 5000) == 1 && close(half.listener) == 0 && close(closed.listener) == 0);

  guest_checkpoint_here();

  CHECK(recv(half.server, got, sizeof got, MSG_WAITALL) == 4 && memcmp(got, "last", 4) == 0);
  CHECK(recv(half.server, got, 1, 0) == 0 && recv(half.client, got, sizeof got, 0) == 4);
  CHECK(send(half.client, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
  CHECK(send(half.server, "still", 5, 0) == 5 && recv(half.client, got, 5, MSG_WAITALL) == 5);
  struct sockaddr_in name = guest_name(half.server, 1);
  CHECK(guest_same_address(&name, &half.client_address));
  CHECK(recv(closed.server, got, sizeof got, MSG_WAITALL) == 5 && memcmp(got, "words", 5) == 0);
  CHECK(recv(closed.server, got, 1, 0) == 0);
  name = guest_name(closed.server, 1);
  CHECK(guest_same_address(&name, &closed.client_address));
  int error = 0;
  for (int i = 0; i < 1000 && error == 0; i++) {  // the first write is answered by a reset
    if (send(closed.server, "x", 1, MSG_NOSIGNAL) == -1) error = errno;
    guest_sleep_ms(1);
  }
  CHECK(error == EPIPE || error == ECONNRESET);
  guest_reset(half.client), guest_reset(half.server), guest_reset(closed.server);
  return guest_pass();
}
