// What tells the time since the boot: times(), sysinfo(), /proc/uptime go on where they were, with the monotonic clocks.
// mode: checkpoint
// pause: 2
// build: static
#include <sys/sysinfo.h>
#include <sys/times.h>

#include "guest.h"

static double uptime(void) {
  char text[128];
  int fd = open("/proc/uptime", O_RDONLY | O_CLOEXEC);
  ssize_t bytes = read(fd, text, sizeof text - 1);
  CHECK(fd >= 0 && bytes > 0 && close(fd) == 0);
  text[bytes] = '\0';
  return atof(text);
}

static void agree(void) {
  struct tms times_now;
  struct sysinfo info;
  double boot = (double)guest_clock_ns(CLOCK_BOOTTIME) / 1e9;
  CHECK(sysinfo(&info) == 0);
  if ((double)info.uptime < boot - 2 || (double)info.uptime > boot + 2)
    dprintf(1, "sysinfo %ld, %f\n", info.uptime, boot);
  CHECK((double)info.uptime > boot - 2 && (double)info.uptime < boot + 2);
  double file = uptime();
  if (file < boot - 1 || file > boot + 1) dprintf(1, "/proc/uptime %f, %f\n", file, boot);
  CHECK(file > boot - 1 && file < boot + 1);
  CHECK(times(&times_now) != -1 && times_now.tms_utime >= 0);
}

int main(void) {
  struct tms unused;
  clock_t ticks = times(&unused);
  int64_t start = guest_clock_ns(CLOCK_MONOTONIC);
  agree();
  guest_checkpoint_here();
  agree();
  int64_t before_ms = (guest_clock_ns(CLOCK_MONOTONIC) - start) / 1000000;
  int64_t counted_ms = (int64_t)(times(&unused) - ticks) * 1000 / sysconf(_SC_CLK_TCK);
  int64_t after_ms = (guest_clock_ns(CLOCK_MONOTONIC) - start) / 1000000;
  if (counted_ms < before_ms - 500 || counted_ms > after_ms + 500)
    dprintf(1, "times() %lld ms, the clock %lld ms\n", (long long)counted_ms, (long long)before_ms);
  CHECK(counted_ms > before_ms - 500 && counted_ms < after_ms + 500);
  return guest_pass();
}
