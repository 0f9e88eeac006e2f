// Names that come out of calls which signals interrupt, before and after they have returned, are right all the same: accept, recvfrom and
// recvmsg under a storm of signals, with and without SA_RESTART. GUEST_ADDRESS as in net-tcp.c.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "guest.h"

static const char* own;
static struct in_addr own_bytes;
static volatile int signals, done;

static void count(int signal) {
  (void)signal;
  signals++;
}

static struct sockaddr_in bound(int fd) {
  struct sockaddr_in name = {.sin_family = AF_INET};
  socklen_t length = sizeof name;
  CHECK(fd >= 0 && bind(fd, (struct sockaddr*)&name, sizeof name) == 0);
  CHECK(getsockname(fd, (struct sockaddr*)&name, &length) == 0);
  name.sin_addr = own_bytes;
  return name;
}

static void block_alarm(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static void* connect_often(void* argument) {
  block_alarm();
  while (!done) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, argument, sizeof(struct sockaddr_in)) != 0) CHECK(done);
    close(fd);
    guest_sleep_ms(1);
  }
  return NULL;
}

static void* send_often(void* argument) {
  block_alarm();
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  while (!done) {
    CHECK(sendto(fd, "x", 1, 0, argument, sizeof(struct sockaddr_in)) == 1);
    guest_sleep_ms(1);
  }
  close(fd);
  return NULL;
}

static void expect_own(const struct sockaddr_in* name, socklen_t length) {
  CHECK(length == sizeof *name && name->sin_family == AF_INET);
  if (name->sin_addr.s_addr != own_bytes.s_addr) dprintf(1, "%s\n", inet_ntoa(name->sin_addr));
  CHECK(name->sin_addr.s_addr == own_bytes.s_addr);
}

static void accept_all(int listener, int rounds) {
  for (int i = 0; i < rounds;) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int fd = accept(listener, (struct sockaddr*)&from, &length);
    if (fd < 0) {
      CHECK(errno == EINTR);
      continue;
    }
    expect_own(&from, length);
    close(fd);
    i++;
  }
}

static void receive_all(int fd, int rounds) {
  for (int i = 0; i < rounds;) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t got = i % 2 ? recvfrom(fd, &byte, 1, 0, (struct sockaddr*)&from, &length) : recvmsg(fd, &message, 0);
    if (got < 0) {
      CHECK(errno == EINTR);
      continue;
    }
    expect_own(&from, i % 2 ? length : message.msg_namelen);
    i++;
  }
}

int main(void) {
  own = getenv("GUEST_ADDRESS");
  if (!own) own = "127.0.0.1";
  CHECK(inet_pton(AF_INET, own, &own_bytes) == 1);
  int listener = socket(AF_INET, SOCK_STREAM, 0), datagrams = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in stream_name = bound(listener), datagram_name = bound(datagrams);
  CHECK(listen(listener, 64) == 0);
  struct itimerval period = {{0, 700}, {0, 700}};
  for (int restart = 0; restart < 2; restart++) {
    struct sigaction action = {.sa_handler = count, .sa_flags = restart ? SA_RESTART : 0};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    pthread_t threads[2];
    done = 0;
    CHECK(pthread_create(&threads[0], NULL, connect_often, &stream_name) == 0);
    CHECK(pthread_create(&threads[1], NULL, send_often, &datagram_name) == 0);
    CHECK(setitimer(ITIMER_REAL, &period, NULL) == 0);
    accept_all(listener, 300);
    receive_all(datagrams, 600);
    struct itimerval off = {0};
    CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
    done = 1;
    for (int i = 0; i < 2; i++) {
      // The connecting thread may wait for room in the backlog.
      CHECK(fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
      for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) close(fd);
      CHECK(fcntl(listener, F_SETFL, 0) == 0);
      CHECK(pthread_join(threads[i], NULL) == 0);
    }
  }
  CHECK(signals > 100);
  return guest_pass();
}
