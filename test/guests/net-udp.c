// Names of UDP sockets: who sent a datagram is who an answer reaches, whether sockets are connected, bound or neither.
// GUEST_ADDRESS as in net-tcp.c.
// build: static musl
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "guest.h"

static struct sockaddr_in make(const char* text, int port) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
  CHECK(inet_pton(AF_INET, text, &name.sin_addr) == 1);
  return name;
}

static void expect_name(const struct sockaddr_in* name, const char* text, int port, int line) {
  char shown[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &name->sin_addr, shown, sizeof shown);
  if (strcmp(shown, text) == 0 && (port == 0 || port == ntohs(name->sin_port))) return;
  dprintf(1, "line %d: %s:%d, expected %s:%d\n", line, shown, ntohs(name->sin_port), text, port);
  CHECK(!"a wrong name");
}
#define EXPECT_NAME(name, text, port) expect_name(name, text, port, __LINE__)

static struct sockaddr_in own_name(int fd) {
  struct sockaddr_in name;
  socklen_t length = sizeof name;
  CHECK(getsockname(fd, (struct sockaddr*)&name, &length) == 0 && length == sizeof name);
  return name;
}

static int open_socket(const char* bound, int port) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct timeval limit = {5, 0};
  CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  if (bound) {
    struct sockaddr_in name = make(bound, port);
    CHECK(bind(fd, (struct sockaddr*)&name, sizeof name) == 0);
  }
  return fd;
}

static void connect_to(int fd, const char* text, int port) {
  struct sockaddr_in name = make(text, port);
  CHECK(connect(fd, (struct sockaddr*)&name, sizeof name) == 0);
}

static void send_to(int fd, const struct sockaddr_in* to, int with_header) {
  if (!with_header) {
    CHECK(sendto(fd, "ping", 4, 0, (const struct sockaddr*)to, sizeof *to) == 4);
    return;
  }
  struct iovec part = {(void*)"ping", 4};
  struct msghdr message = {.msg_name = (void*)to, .msg_namelen = sizeof *to, .msg_iov = &part, .msg_iovlen = 1};
  CHECK(sendmsg(fd, &message, 0) == 4);
}

static struct sockaddr_in receive(int fd, int with_header) {
  struct sockaddr_in from = {0};
  char bytes[16];
  if (!with_header) {
    socklen_t length = sizeof from;
    CHECK(recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr*)&from, &length) == 4 && length == sizeof from);
    return from;
  }
  struct iovec part = {bytes, sizeof bytes};
  struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
  CHECK(recvmsg(fd, &message, 0) == 4 && message.msg_namelen == sizeof from);
  return from;
}

// A question and its answer. The server is bound to `bound`, the client (bound to `source`, or not at all) asks it as `to`.
static void ask(const char* bound, const char* source, const char* to, int connected, int with_header) {
  int server = open_socket(bound, 0), client = open_socket(source, 0);
  struct sockaddr_in name = own_name(server);
  EXPECT_NAME(&name, bound, 0);
  int port = ntohs(name.sin_port);
  name = make(to, port);
  if (connected) {
    connect_to(client, to, port);
    struct sockaddr_in here = own_name(client);
    EXPECT_NAME(&here, to, 0);
    CHECK(send(client, "ping", 4, 0) == 4);
  } else {
    send_to(client, &name, with_header);
  }
  struct sockaddr_in from = receive(server, with_header), here = own_name(client);
  EXPECT_NAME(&from, to, ntohs(here.sin_port));
  send_to(server, &from, with_header);
  from = receive(client, with_header);
  EXPECT_NAME(&from, to, port);
  if (connected) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    CHECK(getpeername(client, (struct sockaddr*)&peer, &length) == 0);
    EXPECT_NAME(&peer, to, port);
  }
  close(server);
  close(client);
}

// As a resolver does that looks for the best of several addresses: one socket, connected to each in turn.
static void change_partner(const char* own) {
  int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  socklen_t length = sizeof name;
  if (fd < 0 || connect(fd, (struct sockaddr*)&name, sizeof name) != 0) return;
  CHECK(getsockname(fd, (struct sockaddr*)&name, &length) == 0 && IN6_IS_ADDR_LOOPBACK(&name.sin6_addr));
  const char* others[] = {"127.0.0.1", own};
  for (int i = 0; i < 2; i++) {
    CHECK(connect(fd, &none, sizeof none) == 0);
    connect_to(fd, others[i], 9);
    CHECK(getsockname(fd, (struct sockaddr*)&name, &length) == 0 && IN6_IS_ADDR_V4MAPPED(&name.sin6_addr));
    struct in_addr shown, expected;
    memcpy(&shown, &name.sin6_addr.s6_addr[12], 4);
    CHECK(inet_pton(AF_INET, others[i], &expected) == 1 && shown.s_addr == expected.s_addr);
  }
  close(fd);
}

// As a program that sends itself messages to be woken.
static void self(const char* bound, const char* to) {
  int fd = open_socket(bound, 0);
  struct sockaddr_in name = own_name(fd);
  char byte;
  connect_to(fd, to, ntohs(name.sin_port));
  struct sockaddr_in here = own_name(fd);
  EXPECT_NAME(&here, to, ntohs(name.sin_port));
  CHECK(send(fd, "x", 1, 0) == 1 && recv(fd, &byte, 1, 0) == 1 && byte == 'x');
  close(fd);
}

static void inet6(void) {
  int server = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), client = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, from;
  socklen_t length = sizeof name;
  char byte;
  if (server < 0 || bind(server, (struct sockaddr*)&name, sizeof name) != 0) return;
  CHECK(getsockname(server, (struct sockaddr*)&name, &length) == 0 && IN6_IS_ADDR_LOOPBACK(&name.sin6_addr));
  CHECK(sendto(client, "x", 1, 0, (struct sockaddr*)&name, sizeof name) == 1);
  length = sizeof from;
  CHECK(recvfrom(server, &byte, 1, 0, (struct sockaddr*)&from, &length) == 1 && IN6_IS_ADDR_LOOPBACK(&from.sin6_addr));
  CHECK(sendto(server, "y", 1, 0, (struct sockaddr*)&from, length) == 1);
  CHECK(recvfrom(client, &byte, 1, 0, (struct sockaddr*)&from, &length) == 1 && byte == 'y');
  CHECK(IN6_IS_ADDR_LOOPBACK(&from.sin6_addr) && from.sin6_port == name.sin6_port);
  close(server);
  close(client);
}

int main(void) {
  const char* own = getenv("GUEST_ADDRESS");
  if (!own) own = "127.0.0.1";
  for (int connected = 0; connected < 2; connected++) {
    for (int with_header = 0; with_header < 2; with_header++) {
      ask("0.0.0.0", NULL, "127.0.0.1", connected, with_header);
      ask("0.0.0.0", NULL, own, connected, with_header);
      ask("127.0.0.1", NULL, "127.0.0.1", connected, with_header);
      ask(own, NULL, own, connected, with_header);
      ask("0.0.0.0", "0.0.0.0", "127.0.0.1", connected, with_header);
      ask("0.0.0.0", "0.0.0.0", own, connected, with_header);
      ask("127.0.0.1", "127.0.0.1", "127.0.0.1", connected, with_header);
      ask(own, own, own, connected, with_header);
    }
  }
  self("127.0.0.1", "127.0.0.1");
  self("0.0.0.0", "127.0.0.1");
  self("0.0.0.0", own);
  self(own, own);
  inet6();
  change_partner(own);
  return guest_pass();
}
