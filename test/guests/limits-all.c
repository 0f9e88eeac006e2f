// Resource limits, personality, oom score, coredump filter, dumpable, parent-death signal and the other settings of a process.
// mode: checkpoint
// build: static
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "guest.h"

static const int lowered[] = {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_STACK};
static const rlim_t soft[] = {3000, 1 << 30, 0, 200, 4 << 20}, hard[] = {4000, 2ul << 30, 1 << 20, 400, 8 << 20};

static void write_text(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static long read_number(const char* path, int base) {
  char text[64];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t bytes = read(fd, text, sizeof text - 1);
  CHECK(fd >= 0 && bytes > 0 && close(fd) == 0);
  text[bytes] = '\0';
  return strtol(text, NULL, base);
}

int main(void) {
  for (unsigned i = 0; i < sizeof lowered / sizeof lowered[0]; i++) {
    struct rlimit limit = {soft[i], hard[i]};
    CHECK(setrlimit(lowered[i], &limit) == 0);
  }
  write_text("/proc/self/oom_score_adj", "345");
  write_text("/proc/self/coredump_filter", "0x11");
  CHECK(personality(ADDR_NO_RANDOMIZE) != -1);
  CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
  CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  CHECK(umask(027) != (mode_t)-1);

  guest_checkpoint_here();

  for (unsigned i = 0; i < sizeof lowered / sizeof lowered[0]; i++) {
    struct rlimit limit;
    CHECK(getrlimit(lowered[i], &limit) == 0);
    if (limit.rlim_cur != soft[i] || limit.rlim_max != hard[i])
      dprintf(1, "limit %d: %lu %lu\n", lowered[i], limit.rlim_cur, limit.rlim_max);
    CHECK(limit.rlim_cur == soft[i] && limit.rlim_max == hard[i]);
  }
  CHECK(read_number("/proc/self/oom_score_adj", 10) == 345);
  CHECK(read_number("/proc/self/coredump_filter", 16) == 0x11);
  CHECK(personality(0xffffffff) == ADDR_NO_RANDOMIZE);
  int signal = 0, subreaper = 0;
  CHECK(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == SIGUSR1);
  CHECK(prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0 && subreaper == 1);
  CHECK(prctl(PR_GET_DUMPABLE) == 1);
  CHECK(umask(022) == 027);
  return guest_pass();
}
