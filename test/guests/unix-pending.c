// Connections to a UNIX listener that nobody has accepted yet are accepted after a restore, in their order.
// mode: checkpoint
// build: static
#include "sockets.h"

int main(void) {
  char path[512], own[512], name[128], got[16];
  int listener = guest_unix_bound(SOCK_STREAM, guest_path(&path, "server"));
  CHECK(listen(listener, 4) == 0);
  int first = guest_unix_connected(SOCK_STREAM, path), second = guest_unix_bound(SOCK_STREAM, guest_path(&own, "own"));
  socklen_t length;
  struct sockaddr_un to = guest_unix(path, &length);
  CHECK(connect(second, (struct sockaddr*)&to, length) == 0);

  guest_checkpoint_here();

  CHECK(strcmp(guest_unix_name(first, 1, &name), path) == 0);
  int one = accept4(listener, NULL, NULL, SOCK_NONBLOCK), two = accept(listener, NULL, NULL);
  CHECK(one >= 0 && two >= 0 && recv(one, got, 1, 0) == -1 && errno == EAGAIN);
  CHECK(strcmp(guest_unix_name(one, 1, &name), "") == 0 && strcmp(guest_unix_name(two, 1, &name), own) == 0);
  CHECK(send(first, "1", 1, 0) == 1 && recv(one, got, 16, 0) == 1 && got[0] == '1');
  CHECK(send(two, "22", 2, 0) == 2 && recv(second, got, 16, 0) == 2);
  CHECK(fcntl(listener, F_SETFL, O_NONBLOCK) == 0 && accept(listener, NULL, NULL) == -1 && errno == EAGAIN);
  return guest_pass();
}
