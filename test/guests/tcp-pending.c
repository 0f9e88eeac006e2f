// TCP connections that nobody has accepted yet are accepted after a restore, in their order.
// mode: checkpoint
// build: static
#include "sockets.h"

int main(void) {
  struct sockaddr_in server, addresses[2], name;
  int listener = guest_bound(SOCK_STREAM, &server), clients[2];
  char got[16];
  CHECK(listen(listener, 8) == 0);
  for (int i = 0; i < 2; i++) {
    clients[i] = guest_bound(SOCK_STREAM, &addresses[i]);
    CHECK(connect(clients[i], (struct sockaddr*)&server, sizeof server) == 0);
  }

  guest_checkpoint_here();

  for (int i = 0; i < 2; i++) {
    int accepted = accept(listener, NULL, NULL);
    CHECK(accepted >= 0);
    name = guest_name(accepted, 1);
    CHECK(guest_same_address(&name, &addresses[i]));
    CHECK(send(clients[i], "hello", 5, 0) == 5 && recv(accepted, got, 5, MSG_WAITALL) == 5);
    CHECK(send(accepted, "back", 4, 0) == 4 && recv(clients[i], got, 4, MSG_WAITALL) == 4);
    guest_reset(clients[i]), guest_reset(accepted);
  }
  CHECK(fcntl(listener, F_SETFL, O_NONBLOCK) == 0 && accept(listener, NULL, NULL) == -1 && errno == EAGAIN);
  return guest_pass();
}
