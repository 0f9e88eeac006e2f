// Load on an HTTP server at 127.0.0.1: load PORT CONNECTIONS MILLISECONDS [new]. Each connection has one request in flight; with `new` it is
// reset after its reply and another one is made in its place. Prints the number of replies per second. Much cheaper per request than the servers it is pointed at, so that it measures them.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void need(int condition, const char* what) {
  if (condition) return;
  perror(what);
  exit(1);
}

static void ask(int set, const struct sockaddr_in* address) {
  int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  need(connect(fd, (const struct sockaddr*)address, sizeof *address) == 0, "connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  need(epoll_ctl(set, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd}) == 0, "epoll_ctl");
  need(write(fd, request, sizeof request - 1) == sizeof request - 1, "write");
}

int main(int count, char** arguments) {
  if (count != 4 && count != 5) return 2;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int connections = atoi(arguments[2]), set = epoll_create1(0), renew = count == 5;
  for (int i = 0; i < connections; i++) ask(set, &address);
  double begin = now(), end = begin + atoi(arguments[3]) / 1e3;
  long replies = 0;
  while (now() < end) {
    struct epoll_event events[64];
    int ready = epoll_wait(set, events, 64, 1000);
    need(ready > 0, "epoll_wait: no reply within a second");
    for (int i = 0; i < ready; i++) {
      // A reply is far smaller than a segment and comes in one piece, whose body ends the message.
      char buffer[4096];
      ssize_t bytes = read(events[i].data.fd, buffer, sizeof buffer);
      need(bytes > 12 && memcmp(buffer, "HTTP/1.1 200", 12) == 0, "no reply");
      replies++;
      if (renew) {
        // Reset, so that no thousands of ended connections weigh on the port.
        setsockopt(events[i].data.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(events[i].data.fd);
        ask(set, &address);
      } else {
        need(write(events[i].data.fd, request, sizeof request - 1) == sizeof request - 1, "write");
      }
    }
  }
  printf("%.1f\n", replies / (now() - begin));
}
