// UNIX sockets shut down in one direction, with bytes that were written before; one end shut down in both.
// mode: checkpoint
// build: static
#include "sockets.h"

int main(void) {
  int writes[2], reads[2], both[2];
  char got[16];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, writes) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, reads) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, both) == 0);
  CHECK(send(writes[0], "last", 4, 0) == 4 && shutdown(writes[0], SHUT_WR) == 0);
  CHECK(send(reads[1], "unread", 6, 0) == 6 && shutdown(reads[0], SHUT_RD) == 0);
  CHECK(send(both[0], "rest", 4, 0) == 4 && shutdown(both[0], SHUT_RDWR) == 0);

  guest_checkpoint_here();

  CHECK(recv(writes[1], got, sizeof got, 0) == 4 && recv(writes[1], got, 1, 0) == 0);
  CHECK(send(writes[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
  CHECK(send(writes[1], "still", 5, 0) == 5 && recv(writes[0], got, sizeof got, 0) == 5);
  CHECK(send(reads[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
  CHECK(recv(reads[0], got, sizeof got, 0) == 6 && recv(reads[0], got, 1, 0) == 0);
  CHECK(send(reads[0], "other", 5, 0) == 5 && recv(reads[1], got, sizeof got, 0) == 5);
  CHECK(recv(both[1], got, sizeof got, 0) == 4 && recv(both[1], got, sizeof got, 0) == 0);
  CHECK(send(both[1], "x", 1, MSG_NOSIGNAL) == -1 && recv(both[0], got, 1, 0) == 0);
  return guest_pass();
}
