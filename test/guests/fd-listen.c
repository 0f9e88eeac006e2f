// Listening sockets (TCP over IPv4 and IPv6, UNIX by path and abstract name) accept connections after a restore, with their options.
// mode: checkpoint
// build: static
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "guest.h"

struct address {
  struct sockaddr_storage bytes;
  socklen_t length;
};

// A port outside the range from which the kernel picks at random, so that it is still free at the restore.
static struct address tcp(int family, int port) {
  struct address a = {0};
  if (family == AF_INET) {
    struct sockaddr_in* in = (struct sockaddr_in*)&a.bytes;
    *in =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.length = sizeof *in;
  } else {
    struct sockaddr_in6* in = (struct sockaddr_in6*)&a.bytes;
    *in = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    a.length = sizeof *in;
  }
  return a;
}

static struct address local(const char* name, int abstract) {
  struct address a = {0};
  struct sockaddr_un* un = (struct sockaddr_un*)&a.bytes;
  un->sun_family = AF_UNIX;
  strcpy(un->sun_path + abstract, name);
  // With the terminator of a path, or the zero in front of an abstract name, which has no terminator.
  a.length = offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
  return a;
}

static int listener(struct address* address, int type) {
  int family = address->bytes.ss_family, one = 1, fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
  if (family != AF_UNIX) CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
  if (family == AF_INET6) CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0);
  for (int port = 20000 + getpid() % 10000; bind(fd, (struct sockaddr*)&address->bytes, address->length) == -1;
       port++) {
    CHECK(errno == EADDRINUSE && family != AF_UNIX && port < 32000);
    *address = tcp(family, port);
  }
  CHECK(listen(fd, 17) == 0);
  return fd;
}

static int option(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  CHECK(getsockopt(fd, level, name, &value, &length) == 0);
  return value;
}

static void talk(int listening, struct address* to, int type) {
  struct address own = {.length = sizeof own.bytes};
  CHECK(getsockname(listening, (struct sockaddr*)&own.bytes, &own.length) == 0);
  CHECK(own.length == to->length && memcmp(&own.bytes, &to->bytes, to->length) == 0);
  CHECK(option(listening, SOL_SOCKET, SO_REUSEADDR) == 1 && option(listening, SOL_SOCKET, SO_ACCEPTCONN) == 1);
  CHECK((fcntl(listening, F_GETFL) & O_NONBLOCK) && fcntl(listening, F_GETFD) == FD_CLOEXEC);
  CHECK(accept(listening, NULL, NULL) == -1 && errno == EAGAIN);
  char text[8];
  int client = socket(to->bytes.ss_family, type, 0);
  CHECK(client >= 0 && connect(client, (struct sockaddr*)&to->bytes, to->length) == 0);
  int server = accept(listening, NULL, NULL);
  CHECK(server >= 0 && write(client, "ping", 4) == 4 && read(server, text, 8) == 4 && memcmp(text, "ping", 4) == 0);
  CHECK(write(server, "pong", 4) == 4 && read(client, text, 8) == 4 && memcmp(text, "pong", 4) == 0);
  close(client);
  close(server);
}

int main(void) {
  char path[512], name[64];
  int port = 20000 + getpid() % 10000;
  snprintf(name, sizeof name, "stasis-guest-%d", getpid());
  struct address v4 = tcp(AF_INET, port), v6 = tcp(AF_INET6, port), by_path = local(guest_path(&path, "socket"), 0),
                 abstract = local(name, 1), packets = local(guest_path(&path, "packets"), 0);
  int on_v4 = listener(&v4, SOCK_STREAM), on_v6 = listener(&v6, SOCK_STREAM), on_path = listener(&by_path, SOCK_STREAM),
      on_abstract = listener(&abstract, SOCK_STREAM), on_packets = listener(&packets, SOCK_SEQPACKET);

  guest_checkpoint_here();

  talk(on_v4, &v4, SOCK_STREAM);
  talk(on_v6, &v6, SOCK_STREAM);
  talk(on_path, &by_path, SOCK_STREAM);
  talk(on_abstract, &abstract, SOCK_STREAM);
  talk(on_packets, &packets, SOCK_SEQPACKET);
  CHECK(option(on_v4, IPPROTO_TCP, TCP_NODELAY) == 1 && option(on_v6, IPPROTO_IPV6, IPV6_V6ONLY) == 1);
  return guest_pass();
}
