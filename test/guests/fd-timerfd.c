// Timer descriptors: expirations not read yet, the remaining time, the period, a disarmed timer. A pause must not count.
// mode: checkpoint
// pause: 2
// build: static
#include <sys/timerfd.h>

#include "guest.h"

static const int64_t kMs = 1000000;

static int timer(clockid_t clock, int64_t first_ns, int64_t period_ns, int flags) {
  int fd = timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC);
  struct itimerspec spec = {{period_ns / 1000000000, period_ns % 1000000000},
                            {first_ns / 1000000000, first_ns % 1000000000}};
  CHECK(fd >= 0 && timerfd_settime(fd, flags, &spec, NULL) == 0);
  return fd;
}

static int64_t remaining_ns(int fd) {
  struct itimerspec spec;
  CHECK(timerfd_gettime(fd, &spec) == 0);
  return spec.it_value.tv_sec * 1000000000 + spec.it_value.tv_nsec;
}

int main(void) {
  uint64_t ticks;
  int64_t start = guest_clock_ns(CLOCK_MONOTONIC);
  int relative = timer(CLOCK_MONOTONIC, 600000 * kMs, 0, 0);
  int absolute = timer(CLOCK_MONOTONIC, start + 600000 * kMs, 0, TFD_TIMER_ABSTIME);
  int boot = timer(CLOCK_BOOTTIME, 600000 * kMs, 0, 0);
  int periodic = timer(CLOCK_MONOTONIC, 600000 * kMs, 50 * kMs, 0);
  int idle = timer(CLOCK_MONOTONIC, 0, 0, 0);
  int ticked = timer(CLOCK_MONOTONIC, 1 * kMs, 1 * kMs, 0);
  int wall = timer(CLOCK_REALTIME, guest_clock_ns(CLOCK_REALTIME) + 600000 * kMs, 0, TFD_TIMER_ABSTIME);
  guest_sleep_ms(30);
  struct itimerspec slow = {{600, 0}, {600, 0}};
  CHECK(timerfd_settime(periodic, 0, &slow, NULL) == 0);

  guest_checkpoint_here();

  int64_t passed = guest_clock_ns(CLOCK_MONOTONIC) - start, slack = 400 * kMs;
  int clocks[] = {relative, absolute, boot};
  for (int i = 0; i < 3; i++) {
    int64_t error = remaining_ns(clocks[i]) - (600000 * kMs - passed);
    if (error < -slack || error > slack) dprintf(1, "timer %d is %lld ms off\n", i, (long long)(error / kMs));
    CHECK(error > -slack && error < slack);
  }
  CHECK(remaining_ns(wall) > 0 && remaining_ns(wall) < 600000 * kMs);
  CHECK(remaining_ns(idle) == 0 && read(idle, &ticks, 8) == -1 && errno == EAGAIN);
  CHECK(read(ticked, &ticks, 8) == 8 && ticks >= 25);
  guest_sleep_ms(20);
  CHECK(read(ticked, &ticks, 8) == 8 && ticks >= 10);
  struct itimerspec spec;
  CHECK(timerfd_gettime(periodic, &spec) == 0 && spec.it_interval.tv_sec == 600 && spec.it_value.tv_sec > 590);
  struct itimerspec soon = {{0, 0}, {0, 30 * kMs}};
  CHECK(timerfd_settime(relative, 0, &soon, NULL) == 0);
  guest_sleep_ms(60);
  CHECK(read(relative, &ticks, 8) == 8 && ticks == 1);
  return guest_pass();
}
