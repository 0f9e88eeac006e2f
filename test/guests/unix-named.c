// UNIX stream connections made through a path: names on both sides, bytes queued both ways, a listener that was closed since, a name that is gone.
// mode: checkpoint
// build: static
#include "sockets.h"

int main(void) {
  char path[512], own[512], name[128], got[32];
  int listener = guest_unix_bound(SOCK_STREAM, guest_path(&path, "server"));
  CHECK(listen(listener, 4) == 0);
  int client = guest_unix_bound(SOCK_STREAM, guest_path(&own, "client"));
  socklen_t length;
  struct sockaddr_un to = guest_unix(path, &length);
  CHECK(connect(client, (struct sockaddr*)&to, length) == 0);
  int server = accept(listener, NULL, NULL);
  int plain = guest_unix_connected(SOCK_STREAM, path), peer = accept(listener, NULL, NULL);
  CHECK(server >= 0 && peer >= 0 && fcntl(plain, F_SETFL, O_NONBLOCK) == 0);
  CHECK(send(client, "to server", 9, 0) == 9 && send(server, "to client", 9, 0) == 9 && send(peer, "plain", 5, 0) == 5);
  int unbound = socket(AF_UNIX, SOCK_STREAM, 0), waiting = guest_unix_bound(SOCK_STREAM, guest_path(&path, "waiting"));
  CHECK(unbound >= 0 && close(listener) == 0 && unlink(guest_path(&path, "server")) == 0);

  guest_checkpoint_here();

  CHECK(recv(server, got, sizeof got, 0) == 9 && memcmp(got, "to server", 9) == 0);
  CHECK(recv(client, got, sizeof got, 0) == 9 && memcmp(got, "to client", 9) == 0);
  CHECK(recv(plain, got, sizeof got, 0) == 5 && recv(plain, got, 1, 0) == -1 && errno == EAGAIN);
  CHECK(strcmp(guest_unix_name(client, 0, &name), own) == 0 && strcmp(guest_unix_name(client, 1, &name), path) == 0);
  CHECK(strcmp(guest_unix_name(server, 0, &name), path) == 0 && strcmp(guest_unix_name(server, 1, &name), own) == 0);
  CHECK(strcmp(guest_unix_name(peer, 0, &name), path) == 0 && strcmp(guest_unix_name(peer, 1, &name), "") == 0);
  CHECK(access(path, F_OK) == -1 && access(own, F_OK) == 0);
  CHECK(send(client, "on", 2, 0) == 2 && recv(server, got, sizeof got, 0) == 2);
  CHECK(close(server) == 0 && recv(client, got, 1, 0) == 0 && send(client, "x", 1, MSG_NOSIGNAL) == -1);
  CHECK(listen(waiting, 2) == 0);  // bound before, listening only now
  to = guest_unix(guest_path(&path, "waiting"), &length);
  CHECK(connect(unbound, (struct sockaddr*)&to, length) == 0);
  int accepted = accept(waiting, NULL, NULL);
  CHECK(accepted >= 0 && send(unbound, "hello", 5, 0) == 5 && recv(accepted, got, sizeof got, 0) == 5);
  return guest_pass();
}
