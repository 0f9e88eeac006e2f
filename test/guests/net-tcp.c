// Names of TCP sockets: what was bound is what is shown, each way to reach it reaches it, and both ends of a connection agree on its names.
// GUEST_ADDRESS is the address of the application in an environment; without one the loopback stands for it.
// build: static musl
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "guest.h"

static const char* own;

struct name {
  struct sockaddr_storage address;
  socklen_t length;
};

static struct name make(const char* text, int port) {
  struct name name = {.length = 0};
  if (strchr(text, ':')) {
    struct sockaddr_in6* six = (struct sockaddr_in6*)&name.address;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    CHECK(inet_pton(AF_INET6, text, &six->sin6_addr) == 1);
    name.length = sizeof *six;
  } else {
    struct sockaddr_in* four = (struct sockaddr_in*)&name.address;
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    CHECK(inet_pton(AF_INET, text, &four->sin_addr) == 1);
    name.length = sizeof *four;
  }
  return name;
}

static int port_of(const struct name* name) { return ntohs(((const struct sockaddr_in*)&name->address)->sin_port); }

static void expect_name(const struct name* name, const char* text, int port, int line) {
  char shown[INET6_ADDRSTRLEN];
  int six = name->address.ss_family == AF_INET6;
  const void* bytes = six ? (const void*)&((const struct sockaddr_in6*)&name->address)->sin6_addr
                          : (const void*)&((const struct sockaddr_in*)&name->address)->sin_addr;
  inet_ntop(name->address.ss_family, bytes, shown, sizeof shown);
  if (strcmp(shown, text) == 0 && (port == 0 || port == port_of(name))) return;
  dprintf(1, "line %d: %s:%d, expected %s:%d\n", line, shown, port_of(name), text, port);
  CHECK(!"a wrong name");
}
#define EXPECT_NAME(name, text, port) expect_name(name, text, port, __LINE__)

static struct name own_name(int fd) {
  struct name name = {.length = sizeof name.address};
  CHECK(getsockname(fd, (struct sockaddr*)&name.address, &name.length) == 0);
  return name;
}

static struct name peer_name(int fd) {
  struct name name = {.length = sizeof name.address};
  CHECK(getpeername(fd, (struct sockaddr*)&name.address, &name.length) == 0);
  return name;
}

static int open_socket(const char* text) {
  int fd = socket(strchr(text, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  return fd;
}

static int bind_to(int fd, const char* text, int port) {
  struct name name = make(text, port);
  return bind(fd, (struct sockaddr*)&name.address, name.length);
}

static int connect_to(int fd, const char* text, int port) {
  struct name name = make(text, port);
  return connect(fd, (struct sockaddr*)&name.address, name.length);
}

static int listen_on(const char* text, int port, int six_only) {
  int fd = open_socket(text), one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (six_only) CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0);
  CHECK(bind_to(fd, text, port) == 0);
  CHECK(listen(fd, 8) == 0);
  return fd;
}

// A connection to `listener` by the name `to`: the server's side shows `server_side`, the client's `client_side`.
static void meet(int listener, const char* to, const char* server_side, const char* client_side) {
  struct name bound = own_name(listener), from = {.length = sizeof from.address};
  int port = port_of(&bound), client = open_socket(to);
  CHECK(connect_to(client, to, port) == 0);
  int server = accept(listener, (struct sockaddr*)&from.address, &from.length);
  CHECK(server >= 0);
  struct name here = own_name(client), there = peer_name(client), local = own_name(server), remote = peer_name(server);
  EXPECT_NAME(&here, client_side, 0);
  EXPECT_NAME(&there, client_side, port);
  EXPECT_NAME(&local, server_side, port);
  EXPECT_NAME(&remote, server_side, port_of(&here));
  EXPECT_NAME(&from, server_side, port_of(&here));
  CHECK(from.length == bound.length);
  CHECK(write(client, "x", 1) == 1);
  char byte;
  CHECK(read(server, &byte, 1) == 1 && byte == 'x');
  close(client);
  close(server);
}

static void one_listener(const char* bound, const char* shown, const char* to, const char* server_side,
                         const char* client_side) {
  int listener = listen_on(bound, 0, 0);
  struct name name = own_name(listener);
  CHECK(port_of(&name) != 0);
  EXPECT_NAME(&name, shown, 0);
  meet(listener, to, server_side, client_side);
  name = own_name(listener);
  EXPECT_NAME(&name, shown, 0);
  close(listener);
}

static void refused(const char* to, int port) {
  int fd = open_socket(to);
  CHECK(connect_to(fd, to, port) == -1 && errno == ECONNREFUSED);
  close(fd);
}

static void conflicts(void) {
  int first = listen_on("127.0.0.1", 0, 0), second = open_socket("0.0.0.0"), one = 1;
  struct name name = own_name(first);
  int port = port_of(&name);
  CHECK(bind_to(second, "0.0.0.0", port) == -1 && errno == EADDRINUSE);
  CHECK(bind_to(second, "127.0.0.1", port) == -1 && errno == EADDRINUSE);
  close(first);
  CHECK(bind_to(second, "0.0.0.0", port) == 0);
  CHECK(bind_to(second, "0.0.0.0", 0) == -1 && errno == EINVAL);
  CHECK(listen(second, 1) == 0);
  int third = open_socket("127.0.0.1");
  CHECK(bind_to(third, "127.0.0.1", port) == -1 && errno == EADDRINUSE);
  CHECK(bind_to(third, "192.0.2.1", port) == -1 && errno == EADDRNOTAVAIL);
  close(second);
  close(third);

  // Shared on purpose: both listen, each connection reaches one of them.
  int shared[2];
  for (int i = 0; i < 2; i++) {
    shared[i] = open_socket("0.0.0.0");
    CHECK(setsockopt(shared[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0);
    CHECK(bind_to(shared[i], "0.0.0.0", i == 0 ? 0 : port) == 0);
    CHECK(listen(shared[i], 8) == 0);
    name = own_name(shared[i]);
    EXPECT_NAME(&name, "0.0.0.0", i == 0 ? 0 : port);
    port = port_of(&name);
  }
  for (int i = 0; i < 16; i++) {
    int client = open_socket(own);
    CHECK(connect_to(client, own, port) == 0);
    struct pollfd ready[2] = {{shared[0], POLLIN, 0}, {shared[1], POLLIN, 0}};
    CHECK(poll(ready, 2, 5000) == 1);
    int server = accept(ready[0].revents ? shared[0] : shared[1], NULL, NULL);
    CHECK(server >= 0);
    name = own_name(server);
    EXPECT_NAME(&name, own, port);
    close(server);
    close(client);
  }
  close(shared[0]);
  close(shared[1]);
}

static void without_bind(void) {
  int listener = open_socket("0.0.0.0");
  CHECK(listen(listener, 1) == 0);
  struct name name = own_name(listener);
  EXPECT_NAME(&name, "0.0.0.0", 0);
  meet(listener, "127.0.0.1", "127.0.0.1", "127.0.0.1");
  close(listener);
}

static void without_blocking(void) {
  int listener = listen_on("0.0.0.0", 0, 0), client = open_socket(own), error;
  struct name name = own_name(listener);
  socklen_t length = sizeof error;
  CHECK(fcntl(client, F_SETFL, O_NONBLOCK) == 0);
  CHECK(connect_to(client, own, port_of(&name)) == 0 || errno == EINPROGRESS);
  struct pollfd ready = {client, POLLOUT, 0};
  CHECK(poll(&ready, 1, 5000) == 1);
  CHECK(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0);
  struct name from = {.length = 4};
  // Room for a part of the name: that part, and the whole length.
  memset(&from.address, 0x55, sizeof from.address);
  int server = accept4(listener, (struct sockaddr*)&from.address, &from.length, SOCK_NONBLOCK);
  CHECK(server >= 0 && (fcntl(server, F_GETFL) & O_NONBLOCK) != 0);
  CHECK(from.length == sizeof(struct sockaddr_in) && ((unsigned char*)&from.address)[4] == 0x55);
  close(server);
  close(client);
  close(listener);
}

static void bad_pointers(void) {
  int fd = open_socket("0.0.0.0");
  struct name name = make("127.0.0.1", 1);
  CHECK(bind(fd, (struct sockaddr*)8, sizeof(struct sockaddr_in)) == -1 && errno == EFAULT);
  CHECK(bind(fd, (struct sockaddr*)&name.address, 3) == -1 && errno == EINVAL);
  CHECK(bind(-1, (struct sockaddr*)&name.address, name.length) == -1 && errno == EBADF);
  CHECK(connect(fd, (struct sockaddr*)8, sizeof(struct sockaddr_in)) == -1 && errno == EFAULT);
  CHECK(connect(1000000, (struct sockaddr*)&name.address, name.length) == -1 && errno == EBADF);
  CHECK(getsockname(fd, (struct sockaddr*)8, &name.length) == -1 && errno == EFAULT);
  CHECK(getsockname(fd, (struct sockaddr*)&name.address, (socklen_t*)8) == -1 && errno == EFAULT);
  CHECK(getpeername(fd, (struct sockaddr*)&name.address, &name.length) == -1 && errno == ENOTCONN);
  close(fd);
}

static void inet6(void) {
  int one = 1, value;
  socklen_t length = sizeof value;
  char mapped[64];
  snprintf(mapped, sizeof mapped, "::ffff:%s", own);
  one_listener("::", "::", "::1", "::1", "::1");
  one_listener("::", "::", "127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1");
  one_listener("::", "::", own, mapped, own);
  one_listener("::", "::", mapped, mapped, mapped);
  one_listener("::1", "::1", "::1", "::1", "::1");
  one_listener(mapped, mapped, own, mapped, own);
  int four = listen_on("0.0.0.0", 0, 0);
  struct name name = own_name(four);
  int port = port_of(&name), six = listen_on("::", port, 1);
  name = own_name(six);
  EXPECT_NAME(&name, "::", port);
  CHECK(getsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &value, &length) == 0 && value == 1);
  meet(six, "::1", "::1", "::1");
  meet(four, "127.0.0.1", "127.0.0.1", "127.0.0.1");
  meet(four, own, own, own);
  close(four);
  refused("127.0.0.1", port);
  meet(six, "::1", "::1", "::1");
  close(six);
  six = open_socket("::");
  CHECK(setsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0);
  CHECK(bind_to(six, mapped, 0) == -1 && errno == EINVAL);
  close(six);
}

int main(void) {
  own = getenv("GUEST_ADDRESS");
  int inside = own != NULL;
  if (!own) own = "127.0.0.1";
  one_listener("0.0.0.0", "0.0.0.0", "127.0.0.1", "127.0.0.1", "127.0.0.1");
  one_listener("0.0.0.0", "0.0.0.0", own, own, own);
  one_listener("0.0.0.0", "0.0.0.0", "0.0.0.0", "127.0.0.1", "127.0.0.1");
  one_listener("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1");
  one_listener(own, own, own, own, own);
  conflicts();
  without_bind();
  without_blocking();
  bad_pointers();
  int six = socket(AF_INET6, SOCK_STREAM, 0);
  if (six >= 0 && bind_to(six, "::1", 0) == 0) inet6();
  if (inside) {
    // Privileged ports are the environment's own. The loopback is the application's own.
    int web = listen_on("0.0.0.0", 80, 0), private = listen_on("127.0.0.1", 8080, 0), other = open_socket(own);
    meet(web, own, own, own);
    meet(web, "127.0.0.1", "127.0.0.1", "127.0.0.1");
    meet(private, "127.0.0.1", "127.0.0.1", "127.0.0.1");
    refused(own, 8080);
    CHECK(bind_to(other, "10.10.0.253", 0) == -1 && errno == EADDRNOTAVAIL);
    refused("10.10.0.253", 80);
  }
  return guest_pass();
}
