// UNIX sequenced-packet sockets: messages keep their bounds in the queue, an accepted connection its names.
// mode: checkpoint
// build: static
#include "sockets.h"

int main(void) {
  static char sent[20000], got[20000];
  char path[512], name[128];
  int pair[2];
  guest_fill(sent, sizeof sent, 2);
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  CHECK(send(pair[0], sent, sizeof sent, 0) == sizeof sent && send(pair[0], "x", 1, 0) == 1);
  CHECK(send(pair[1], "other way", 9, 0) == 9);
  int listener = guest_unix_bound(SOCK_SEQPACKET, guest_path(&path, "packets"));
  CHECK(listen(listener, 4) == 0);
  int client = guest_unix_connected(SOCK_SEQPACKET, path), server = accept(listener, NULL, NULL);
  CHECK(server >= 0 && send(client, "a", 1, 0) == 1 && send(client, "bc", 2, 0) == 2);

  guest_checkpoint_here();

  CHECK(recv(pair[1], got, sizeof got, 0) == sizeof got && memcmp(got, sent, sizeof got) == 0);
  CHECK(recv(pair[1], got, sizeof got, 0) == 1 && recv(pair[1], got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  CHECK(recv(pair[0], got, sizeof got, 0) == 9 && memcmp(got, "other way", 9) == 0);
  CHECK(recv(server, got, sizeof got, 0) == 1 && got[0] == 'a' && recv(server, got, sizeof got, 0) == 2);
  CHECK(strcmp(guest_unix_name(client, 1, &name), path) == 0 && strcmp(guest_unix_name(server, 0, &name), path) == 0);
  CHECK(send(server, "back", 4, 0) == 4 && recv(client, got, sizeof got, 0) == 4);
  CHECK(close(client) == 0 && recv(server, got, 1, 0) == 0);
  int late = guest_unix_connected(SOCK_SEQPACKET, path), accepted = accept(listener, NULL, NULL);
  CHECK(accepted >= 0 && send(late, "late", 4, 0) == 4 && recv(accepted, got, 9, 0) == 4);
  return guest_pass();
}
