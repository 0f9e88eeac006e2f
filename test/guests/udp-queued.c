// UDP sockets: queued datagrams with their bounds and senders, a connected socket, options.
// mode: checkpoint
// build: static
#include "sockets.h"

static void expect(int fd, const char* text, const struct sockaddr_in* from) {
  char got[64];
  struct sockaddr_in name = {0};
  socklen_t length = sizeof name;
  CHECK(recvfrom(fd, got, sizeof got, 0, (struct sockaddr*)&name, &length) == (ssize_t)strlen(text));
  CHECK(memcmp(got, text, strlen(text)) == 0 && guest_same_address(&name, from));
}

int main(void) {
  struct sockaddr_in server_address, client_address, gone_address, name;
  int server = guest_bound(SOCK_DGRAM, &server_address), client = guest_bound(SOCK_DGRAM, &client_address);
  int gone = guest_bound(SOCK_DGRAM, &gone_address), one = 1, value = 0;
  socklen_t length = sizeof value;
  CHECK(connect(client, (struct sockaddr*)&server_address, sizeof server_address) == 0);
  CHECK(setsockopt(server, SOL_SOCKET, SO_BROADCAST, &one, sizeof one) == 0);
  CHECK(send(client, "one", 3, 0) == 3 && send(client, "", 0, 0) == 0 && send(client, "three", 5, 0) == 5);
  CHECK(sendto(gone, "gone", 4, 0, (struct sockaddr*)&server_address, sizeof server_address) == 4 && close(gone) == 0);
  CHECK(sendto(server, "back", 4, 0, (struct sockaddr*)&client_address, sizeof client_address) == 4);

  guest_checkpoint_here();

  CHECK(fcntl(server, F_SETFL, O_NONBLOCK) == 0 && fcntl(client, F_SETFL, O_NONBLOCK) == 0);
  expect(server, "one", &client_address), expect(server, "", &client_address);
  expect(server, "three", &client_address), expect(server, "gone", &gone_address);
  expect(client, "back", &server_address);
  char byte;
  CHECK(recv(server, &byte, 1, 0) == -1 && errno == EAGAIN);
  name = guest_name(client, 1);
  CHECK(guest_same_address(&name, &server_address));
  CHECK(getsockopt(server, SOL_SOCKET, SO_BROADCAST, &value, &length) == 0 && value == 1);
  CHECK(send(client, "on", 2, 0) == 2);
  expect(server, "on", &client_address);
  return guest_pass();
}
