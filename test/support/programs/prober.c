// prober PORT REQUEST [PART]: asks 127.0.0.1:PORT until somebody answers, and prints the instant of the first bytes of the answer, or of those
// with which PART has come in it, nanoseconds of CLOCK_MONOTONIC. In REQUEST, \xHH stands for a byte. Prints "probing" first. A process of its own, so that waiting for the reply takes no time from the one that restores.
// An answer that begins with "-LOADING" (Redis reading its dump) does not count.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const struct timespec pause_between = {0, 100 * 1000};
static const int give_up_after_s = 60;

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

// In place. Returns how many bytes there are.
static ssize_t decode(char *text) {
  char *to = text;
  for (const char *from = text; *from != 0;) {
    unsigned byte;
    if (from[0] == '\\' && from[1] == 'x' && sscanf(from + 2, "%2x", &byte) == 1) {
      *to++ = (char)byte;
      from += 4;
    } else {
      *to++ = *from++;
    }
  }
  return to - text;
}

// The instant of the answer, or 0.
static long long ask(const struct sockaddr_in *server, const char *request, ssize_t length, const char *part) {
  char answer[4096];
  long long at = 0;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  // While nobody listens, a source port that happens to be PORT would make the socket a connection to itself, and the
  // port taken. From another address of the loopback network it cannot be.
  const struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK + 1)}};
  const int yes = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
  if (bind(fd, (const struct sockaddr *)&source, sizeof source) == 0 && connect(fd, (const struct sockaddr *)server, sizeof *server) == 0 &&
      send(fd, request, (size_t)length, MSG_NOSIGNAL) == length) {
    size_t have = 0;
    while (at == 0 && have < sizeof answer) {
      ssize_t got = recv(fd, answer + have, sizeof answer - have, 0);
      if (got <= 0) break;
      have += (size_t)got;
      if (part == NULL || memmem(answer, have, part, strlen(part)) != NULL) at = now_ns();
    }
    if (have >= 8 && memcmp(answer, "-LOADING", 8) == 0) at = 0;
  }
  close(fd);
  return at;
}

int main(int count, char **arguments) {
  if (count != 3 && count != 4) return 2;
  const ssize_t length = decode(arguments[2]);
  struct sockaddr_in server = {.sin_family = AF_INET,
                               .sin_port = htons((unsigned short)atoi(arguments[1])),
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
  prctl(PR_SET_TIMERSLACK, 1UL);
  puts("probing");
  fflush(stdout);
  long long deadline = now_ns() + give_up_after_s * 1000000000LL;
  while (now_ns() < deadline) {
    long long at = ask(&server, arguments[2], length, arguments[3]);
    if (at != 0) {
      printf("%lld\n", at);
      return 0;
    }
    nanosleep(&pause_between, NULL);
  }
  fprintf(stderr, "nobody answered on port %s within %d s\n", arguments[1], give_up_after_s);
  return 1;
}
