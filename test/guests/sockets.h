// What the guests about sockets share: addresses whose ports the kernel does not pick by itself, so that they are free again at a restore, and
// connections that leave nothing of theirs in the kernel when they end.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "guest.h"

struct tcp_pair {
  int listener, server, client;
  struct sockaddr_in server_address, client_address;
};

// A socket of the type bound to a port of the loopback address below the range of ephemeral ports.
__attribute__((unused)) static int guest_bound(int type, struct sockaddr_in* address) {
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), port = 10000 + getpid() * 7 % 20000;
  CHECK(fd >= 0);
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (int attempt = 0;; attempt++, port++) {
    address->sin_port = htons(port);
    if (bind(fd, (struct sockaddr*)address, sizeof *address) == 0) return fd;
    CHECK(errno == EADDRINUSE && attempt < 2000);
  }
}

__attribute__((unused)) static int guest_same_address(const struct sockaddr_in* a, const struct sockaddr_in* b) {
  return a->sin_family == b->sin_family && a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

__attribute__((unused)) static struct sockaddr_in guest_name(int fd, int peer) {
  struct sockaddr_in name = {0};
  socklen_t length = sizeof name;
  CHECK((peer ? getpeername : getsockname)(fd, (struct sockaddr*)&name, &length) == 0);
  return name;
}

// Ends the connection by a reset: nothing waits in the kernel then, which would keep the addresses from a copy of this program.
__attribute__((unused)) static void guest_reset(int fd) {
  struct linger hard = {1, 0};
  CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0 && close(fd) == 0);
}

__attribute__((unused)) static void guest_connect(struct tcp_pair* pair) {
  pair->listener = guest_bound(SOCK_STREAM, &pair->server_address);
  CHECK(listen(pair->listener, 8) == 0);
  pair->client = guest_bound(SOCK_STREAM, &pair->client_address);
  CHECK(connect(pair->client, (struct sockaddr*)&pair->server_address, sizeof pair->server_address) == 0);
  pair->server = accept(pair->listener, NULL, NULL);
  CHECK(pair->server >= 0);
}

__attribute__((unused)) static struct sockaddr_un guest_unix(const char* path, socklen_t* length) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int abstract = path[0] == '@';
  CHECK(strlen(path) < sizeof address.sun_path);
  strcpy(address.sun_path, path);
  if (abstract) address.sun_path[0] = 0;
  *length = offsetof(struct sockaddr_un, sun_path) + strlen(path) + !abstract;
  return address;
}

__attribute__((unused)) static int guest_unix_bound(int type, const char* path) {
  socklen_t length;
  struct sockaddr_un address = guest_unix(path, &length);
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0 && bind(fd, (struct sockaddr*)&address, length) == 0);
  return fd;
}

__attribute__((unused)) static int guest_unix_connected(int type, const char* path) {
  socklen_t length;
  struct sockaddr_un address = guest_unix(path, &length);
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0 && connect(fd, (struct sockaddr*)&address, length) == 0);
  return fd;
}

// Name of the socket, or of its peer, as guest_unix takes it; "" for none.
__attribute__((unused)) static const char* guest_unix_name(int fd, int peer, char (*text)[128]) {
  struct sockaddr_un name = {0};
  socklen_t length = sizeof name;
  CHECK((peer ? getpeername : getsockname)(fd, (struct sockaddr*)&name, &length) == 0);
  size_t bytes = length - offsetof(struct sockaddr_un, sun_path);
  memset(text, 0, sizeof *text);
  memcpy(text, name.sun_path, bytes);
  if (bytes > 0 && !(*text)[0]) (*text)[0] = '@';
  return *text;
}

__attribute__((unused)) static void guest_send_fd(int socket, const void* bytes, size_t count, int fd) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof fd)];
  } control = {0};
  struct iovec vector = {(void*)bytes, count};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  CHECK(sendmsg(socket, &message, 0) == (ssize_t)count);
}

// Receives one message; -1 for `fd` where it carries none. Returns its bytes, -1 if there is none.
__attribute__((unused)) static ssize_t guest_receive_fd(int socket, void* bytes, size_t room, int* fd) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof *fd)];
  } control = {0};
  struct iovec vector = {bytes, room};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t count = recvmsg(socket, &message, MSG_DONTWAIT);
  *fd = -1;
  struct cmsghdr* header = count < 0 ? NULL : CMSG_FIRSTHDR(&message);
  if (header) {
    CHECK(header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS);
    memcpy(fd, CMSG_DATA(header), sizeof *fd);
  }
  return count;
}
