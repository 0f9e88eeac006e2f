// What a socket was bound to is remembered by whoever has it: after fork, after exec, and in a process that got it by SCM_RIGHTS.
// GUEST_ADDRESS as in net-tcp.c.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "guest.h"

static const char* own;

static void expect_name(int fd, const char* text) {
  struct sockaddr_in name;
  socklen_t length = sizeof name;
  char shown[INET_ADDRSTRLEN];
  CHECK(getsockname(fd, (struct sockaddr*)&name, &length) == 0);
  inet_ntop(AF_INET, &name.sin_addr, shown, sizeof shown);
  if (strcmp(shown, text) != 0) dprintf(1, "%s, expected %s\n", shown, text);
  CHECK(strcmp(shown, text) == 0);
}

static int port_of(int fd) {
  struct sockaddr_in name;
  socklen_t length = sizeof name;
  CHECK(getsockname(fd, (struct sockaddr*)&name, &length) == 0);
  return ntohs(name.sin_port);
}

static int listen_on(const char* text) {
  struct sockaddr_in name = {.sin_family = AF_INET};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(fd >= 0 && inet_pton(AF_INET, text, &name.sin_addr) == 1);
  CHECK(bind(fd, (struct sockaddr*)&name, sizeof name) == 0 && listen(fd, 8) == 0);
  return fd;
}

// Connects by the name `to` and finds it on both ends.
static void meet(int listener, const char* to) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port_of(listener))};
  int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(inet_pton(AF_INET, to, &name.sin_addr) == 1);
  CHECK(connect(client, (struct sockaddr*)&name, sizeof name) == 0);
  int server = accept(listener, NULL, NULL);
  CHECK(server >= 0);
  expect_name(client, to);
  expect_name(server, to);
  close(client);
  close(server);
}

static void check_all(const int listeners[3]) {
  expect_name(listeners[0], "0.0.0.0");
  expect_name(listeners[1], "127.0.0.1");
  expect_name(listeners[2], own);
  meet(listeners[0], "127.0.0.1");
  meet(listeners[0], own);
  meet(listeners[1], "127.0.0.1");
  meet(listeners[2], own);
}

static void wait_for_child(pid_t child) {
  int status;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void pass_on(const int listeners[3]) {
  int pair[2];
  char byte = 0;
  struct iovec part = {&byte, 1};
  union {
    char bytes[CMSG_SPACE(3 * sizeof(int))];
    struct cmsghdr header;
  } control = {0};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  pid_t child = fork();
  if (child == 0) {
    int received[3];
    CHECK(recvmsg(pair[1], &message, 0) == 1 && control.header.cmsg_type == SCM_RIGHTS);
    memcpy(received, CMSG_DATA(&control.header), sizeof received);
    check_all(received);
    _exit(0);
  }
  control.header =
      (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(3 * sizeof(int))};
  memcpy(CMSG_DATA(&control.header), listeners, 3 * sizeof(int));
  CHECK(sendmsg(pair[0], &message, 0) == 1);
  wait_for_child(child);
}

int main(int count, char** arguments) {
  own = getenv("GUEST_ADDRESS");
  if (!own) own = "127.0.0.1";
  if (count == 4) {
    const int inherited[3] = {atoi(arguments[1]), atoi(arguments[2]), atoi(arguments[3])};
    check_all(inherited);
    return 0;
  }
  const int listeners[3] = {listen_on("0.0.0.0"), listen_on("127.0.0.1"), listen_on(own)};
  check_all(listeners);
  pid_t child = fork();
  if (child == 0) {
    check_all(listeners);
    _exit(0);
  }
  wait_for_child(child);
  pass_on(listeners);
  child = fork();
  if (child == 0) {
    char numbers[3][16];
    for (int i = 0; i < 3; i++) snprintf(numbers[i], sizeof numbers[i], "%d", listeners[i]);
    execl(arguments[0], arguments[0], numbers[0], numbers[1], numbers[2], NULL);
    _exit(1);
  }
  wait_for_child(child);
  check_all(listeners);
  return guest_pass();
}
