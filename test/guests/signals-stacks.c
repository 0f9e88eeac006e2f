// Which stack a handler runs on when it interrupts a wait, with a small alternate stack set.
// build: static musl
#include <poll.h>
#include <sys/auxv.h>

#include "guest.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

static char* stack;
static size_t bytes;
static volatile int on_alternate, off_alternate;

static void look(int signal) {
  char local;
  int inside = &local >= stack && &local < stack + bytes;
  if (signal == SIGUSR1) on_alternate += inside;
  if (signal == SIGUSR2) {
    char large[65536];  // more than the alternate stack has
    memset(large, signal, sizeof large);
    off_alternate += !inside && large[4711] == signal;
  }
  char link[64];
  CHECK(readlink("/proc/self/exe", link, sizeof link) > 0);
}

int main(void) {
  size_t least = getauxval(AT_MINSIGSTKSZ);
  bytes = (least > 2048 ? 2 * least : 4096) + 4096;
  stack = malloc(bytes);
  stack_t alternate = {.ss_sp = stack, .ss_size = bytes}, now;
  CHECK(stack && sigaltstack(&alternate, NULL) == 0);
  struct sigaction on = {.sa_handler = look, .sa_flags = SA_ONSTACK}, off = {.sa_handler = look};
  CHECK(sigaction(SIGUSR1, &on, NULL) == 0 && sigaction(SIGUSR2, &off, NULL) == 0);
  sigset_t block, none;
  sigemptyset(&none);
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  sigaddset(&block, SIGUSR2);
  CHECK(sigprocmask(SIG_BLOCK, &block, NULL) == 0);
  for (int i = 0; i < 3; i++) {
    double value = 1.5 * i;
    raise(SIGUSR1);
    CHECK(ppoll(NULL, 0, NULL, &none) == -1 && errno == EINTR && on_alternate == i + 1);
    raise(SIGUSR2);
    CHECK(ppoll(NULL, 0, NULL, &none) == -1 && errno == EINTR && off_alternate == i + 1);
    CHECK(value == 1.5 * i && sigaltstack(NULL, &now) == 0 && now.ss_sp == stack && now.ss_flags == 0);
  }
  return guest_pass();
}
