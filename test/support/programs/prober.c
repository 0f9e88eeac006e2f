// prober PORT REQUEST: asks 127.0.0.1:PORT until somebody answers, and prints the instant of the first bytes of the answer, nanoseconds of
// CLOCK_MONOTONIC. Prints "probing" first. A process of its own, so that waiting for the reply takes no time from the one that restores.
// An answer that begins with "-LOADING" (Redis reading its dump) does not count.
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

// The instant of the answer, or 0.
static long long ask(const struct sockaddr_in *server, const char *request) {
  char answer[64];
  long long at = 0;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  ssize_t length = (ssize_t)strlen(request);
  // While nobody listens, a source port that happens to be PORT would make the socket a connection to itself, and the
  // port taken. From another address of the loopback network it cannot be.
  const struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK + 1)}};
  const int yes = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
  if (bind(fd, (const struct sockaddr *)&source, sizeof source) == 0 && connect(fd, (const struct sockaddr *)server, sizeof *server) == 0 &&
      send(fd, request, (size_t)length, MSG_NOSIGNAL) == length) {
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    at = now_ns();
    if (got <= 0 || (got >= 8 && memcmp(answer, "-LOADING", 8) == 0)) at = 0;
  }
  close(fd);
  return at;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  struct sockaddr_in server = {.sin_family = AF_INET,
                               .sin_port = htons((unsigned short)atoi(arguments[1])),
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
  prctl(PR_SET_TIMERSLACK, 1UL);
  puts("probing");
  fflush(stdout);
  long long deadline = now_ns() + give_up_after_s * 1000000000LL;
  while (now_ns() < deadline) {
    long long at = ask(&server, arguments[2]);
    if (at != 0) {
      printf("%lld\n", at);
      return 0;
    }
    nanosleep(&pause_between, NULL);
  }
  fprintf(stderr, "nobody answered on port %s within %d s\n", arguments[1], give_up_after_s);
  return 1;
}
