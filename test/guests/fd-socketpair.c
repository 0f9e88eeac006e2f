// Socket pairs: bytes queued in both directions, flags, dup'ed ends, a closed other end, an empty datagram pair.
// mode: checkpoint
// build: static
#include <sys/socket.h>

#include "guest.h"

int main(void) {
  static char sent[30000], got[30000];
  guest_fill(sent, sizeof sent, 1);
  int pair[2], widowed[2], datagrams[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, widowed) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, datagrams) == 0);
  CHECK(write(pair[0], sent, sizeof sent) == sizeof sent && write(pair[1], "answer", 6) == 6);
  CHECK(read(pair[1], got, 100) == 100);
  int second = dup(pair[1]);
  CHECK(write(widowed[1], "last", 4) == 4 && close(widowed[1]) == 0);

  guest_checkpoint_here();

  CHECK(recv(second, got, 10000, MSG_WAITALL) == 10000 && memcmp(got, sent + 100, 10000) == 0);
  CHECK(recv(pair[1], got, 19900, MSG_WAITALL) == 19900 && memcmp(got, sent + 10100, 19900) == 0);
  CHECK(read(pair[0], got, 100) == 6 && memcmp(got, "answer", 6) == 0);
  CHECK(recv(pair[0], got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  CHECK(fcntl(pair[0], F_GETFD) == FD_CLOEXEC && fcntl(second, F_GETFD) == 0);
  CHECK(read(widowed[0], got, 9) == 4 && memcmp(got, "last", 4) == 0 && read(widowed[0], got, 9) == 0);
  CHECK(send(widowed[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
  CHECK(read(datagrams[0], got, 9) == -1 && errno == EAGAIN);
  CHECK(send(datagrams[0], "one", 3, 0) == 3 && send(datagrams[0], "three", 5, 0) == 5);
  CHECK(read(datagrams[1], got, 9) == 3 && read(datagrams[1], got, 9) == 5 && memcmp(got, "three", 5) == 0);
  int type = 0;
  socklen_t length = sizeof type;
  CHECK(getsockopt(datagrams[0], SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_DGRAM);
  return guest_pass();
}
