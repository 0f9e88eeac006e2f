// A TCP connection within the program: addresses, options, bytes both ways, the listener, a second connection to the same port.
// mode: checkpoint
// build: static
#include <netinet/tcp.h>

#include "sockets.h"

static int option(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  CHECK(getsockopt(fd, level, name, &value, &length) == 0);
  return value;
}

int main(void) {
  struct tcp_pair pair;
  char got[32];
  int one = 1;
  guest_connect(&pair);
  CHECK(setsockopt(pair.client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
  CHECK(setsockopt(pair.server, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0);
  struct sockaddr_in second_address;
  int second = guest_bound(SOCK_STREAM, &second_address);
  CHECK(connect(second, (struct sockaddr*)&pair.server_address, sizeof pair.server_address) == 0);
  int third = accept4(pair.listener, NULL, NULL, SOCK_NONBLOCK);
  CHECK(third >= 0 && send(pair.client, "to server", 9, 0) == 9 && send(pair.server, "to client", 9, 0) == 9);

  guest_checkpoint_here();

  CHECK(recv(pair.server, got, sizeof got, 0) == 9 && memcmp(got, "to server", 9) == 0);
  CHECK(recv(pair.client, got, sizeof got, 0) == 9 && memcmp(got, "to client", 9) == 0);
  struct sockaddr_in name = guest_name(pair.client, 0);
  CHECK(guest_same_address(&name, &pair.client_address));
  name = guest_name(pair.client, 1);
  CHECK(guest_same_address(&name, &pair.server_address));
  name = guest_name(third, 1);
  CHECK(guest_same_address(&name, &second_address));
  CHECK(option(pair.client, IPPROTO_TCP, TCP_NODELAY) == 1 && option(pair.server, IPPROTO_TCP, TCP_NODELAY) == 0);
  CHECK(option(pair.server, SOL_SOCKET, SO_KEEPALIVE) == 1 && option(pair.server, SOL_SOCKET, SO_REUSEADDR) == 0);
  CHECK(recv(third, got, 1, 0) == -1 && errno == EAGAIN);
  CHECK(send(second, "second", 6, 0) == 6);
  for (int i = 0; i < 1000 && recv(third, got, sizeof got, MSG_PEEK) < 0; i++) guest_sleep_ms(1);
  CHECK(recv(third, got, sizeof got, 0) == 6 && memcmp(got, "second", 6) == 0);
  struct sockaddr_in late_address;
  int late = guest_bound(SOCK_STREAM, &late_address);
  CHECK(connect(late, (struct sockaddr*)&pair.server_address, sizeof pair.server_address) == 0);
  int accepted = accept(pair.listener, NULL, NULL);
  CHECK(accepted >= 0);
  guest_reset(late), guest_reset(accepted), guest_reset(second), guest_reset(third);
  guest_reset(pair.client), guest_reset(pair.server);
  return guest_pass();
}
