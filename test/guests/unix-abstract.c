// UNIX sockets with abstract names: a connection, a datagram socket, one that binds itself (autobind).
// mode: checkpoint
// build: static
#include "sockets.h"

int main(void) {
  char server_name[64], datagram_name[64], name[128], own[128], got[32];
  snprintf(server_name, sizeof server_name, "@stasis-guest-abstract-%d", getpid());
  snprintf(datagram_name, sizeof datagram_name, "@stasis-guest-datagram-%d", getpid());
  int listener = guest_unix_bound(SOCK_STREAM, server_name);
  CHECK(listen(listener, 4) == 0);
  int client = guest_unix_connected(SOCK_STREAM, server_name), server = accept(listener, NULL, NULL);
  int datagrams = guest_unix_bound(SOCK_DGRAM, datagram_name), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
  sa_family_t nothing = AF_UNIX;
  CHECK(server >= 0 && sender >= 0 && bind(sender, (struct sockaddr*)&nothing, sizeof nothing) == 0);
  guest_unix_name(sender, 0, &own);
  CHECK(own[0] == '@' && strlen(own) == 6);
  socklen_t length;
  struct sockaddr_un to = guest_unix(datagram_name, &length);
  CHECK(sendto(sender, "datagram", 8, 0, (struct sockaddr*)&to, length) == 8 && send(client, "stream", 6, 0) == 6);

  guest_checkpoint_here();

  CHECK(recv(server, got, sizeof got, 0) == 6 && memcmp(got, "stream", 6) == 0);
  CHECK(strcmp(guest_unix_name(client, 1, &name), server_name) == 0);
  CHECK(strcmp(guest_unix_name(server, 0, &name), server_name) == 0);
  struct sockaddr_un from;
  socklen_t from_length = sizeof from;
  CHECK(recvfrom(datagrams, got, sizeof got, 0, (struct sockaddr*)&from, &from_length) == 8);
  CHECK(from_length == offsetof(struct sockaddr_un, sun_path) + 6 && memcmp(from.sun_path + 1, own + 1, 5) == 0);
  CHECK(strcmp(guest_unix_name(sender, 0, &name), own) == 0);
  CHECK(sendto(datagrams, "answer", 6, 0, (struct sockaddr*)&from, from_length) == 6);
  CHECK(recv(sender, got, sizeof got, 0) == 6);
  int late = guest_unix_connected(SOCK_STREAM, server_name), accepted = accept(listener, NULL, NULL);
  CHECK(accepted >= 0 && send(late, "late", 4, 0) == 4 && recv(accepted, got, sizeof got, 0) == 4);
  return guest_pass();
}
