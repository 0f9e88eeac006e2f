// UNIX datagram sockets: queues with the bounds and the senders' names of their messages, empty messages, connected and unconnected ones.
// mode: checkpoint
// build: static
#include "sockets.h"

static void expect(int fd, const char* text, const char* from) {
  char got[64];
  struct sockaddr_un name = {0};
  socklen_t length = sizeof name;
  CHECK(recvfrom(fd, got, sizeof got, MSG_DONTWAIT, (struct sockaddr*)&name, &length) == (ssize_t)strlen(text));
  CHECK(memcmp(got, text, strlen(text)) == 0);
  if (from) CHECK(strcmp(name.sun_path, from) == 0);
}

int main(void) {
  char server_path[512], client_path[512], byte;
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
  CHECK(send(pair[0], "one", 3, 0) == 3 && send(pair[0], "", 0, 0) == 0 && send(pair[0], "three", 5, 0) == 5);
  CHECK(send(pair[1], "back", 4, 0) == 4);
  int server = guest_unix_bound(SOCK_DGRAM, guest_path(&server_path, "server"));
  int client = guest_unix_bound(SOCK_DGRAM, guest_path(&client_path, "client"));
  socklen_t length;
  struct sockaddr_un to = guest_unix(server_path, &length);
  CHECK(connect(client, (struct sockaddr*)&to, length) == 0);
  int nameless = socket(AF_UNIX, SOCK_DGRAM, 0), gone = guest_unix_connected(SOCK_DGRAM, server_path);
  CHECK(send(client, "from client", 11, 0) == 11 && send(gone, "from gone", 9, 0) == 9 && close(gone) == 0);
  CHECK(sendto(nameless, "nameless", 8, 0, (struct sockaddr*)&to, length) == 8);

  guest_checkpoint_here();

  expect(pair[1], "one", NULL), expect(pair[1], "", NULL), expect(pair[1], "three", NULL),
      expect(pair[0], "back", NULL);
  CHECK(recv(pair[1], &byte, 1, 0) == -1 && errno == EAGAIN);
  expect(server, "from client", client_path), expect(server, "from gone", NULL), expect(server, "nameless", NULL);
  CHECK(recv(server, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  char name[128];
  CHECK(strcmp(guest_unix_name(client, 1, &name), server_path) == 0);
  CHECK(strcmp(guest_unix_name(client, 0, &name), client_path) == 0);
  CHECK(send(client, "again", 5, 0) == 5);
  expect(server, "again", client_path);
  to = guest_unix(client_path, &length);
  CHECK(sendto(server, "answer", 6, 0, (struct sockaddr*)&to, length) == 6);
  expect(client, "answer", server_path);
  CHECK(getpeername(nameless, (struct sockaddr*)&to, &length) == -1 && errno == ENOTCONN);
  return guest_pass();
}
