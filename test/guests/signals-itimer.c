// Interval timers keep their period and the rest of the current one; the pause does not count.
// mode: checkpoint
// pause: 2
// build: static
#include <sys/time.h>

#include "guest.h"

static volatile int alarms, profiles;
static void on_alarm(int signal) { signal == SIGALRM ? alarms++ : profiles++; }

static int64_t remaining_ms(int which) {
  struct itimerval value;
  CHECK(getitimer(which, &value) == 0);
  return value.it_value.tv_sec * 1000 + value.it_value.tv_usec / 1000;
}

int main(void) {
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGVTALRM, &action, NULL) == 0);
  struct itimerval slow = {{700, 0}, {600, 0}}, fast = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
  int64_t start = guest_clock_ns(CLOCK_MONOTONIC);
  CHECK(setitimer(ITIMER_REAL, &slow, NULL) == 0 && setitimer(ITIMER_VIRTUAL, &fast, NULL) == 0);
  guest_checkpoint_here();
  int64_t passed = (guest_clock_ns(CLOCK_MONOTONIC) - start) / 1000000,
          error = remaining_ms(ITIMER_REAL) - (600000 - passed);
  CHECK(alarms == 0 && error > -400 && error < 400);
  struct itimerval value;
  CHECK(getitimer(ITIMER_REAL, &value) == 0 && value.it_interval.tv_sec == 700);
  int before = profiles;
  for (volatile uint64_t i = 0; profiles < before + 3; i++) CHECK(i < 5000000000u);
  CHECK(setitimer(ITIMER_VIRTUAL, &off, NULL) == 0);
  CHECK(setitimer(ITIMER_REAL, &fast, NULL) == 0);
  while (alarms < 3) guest_sleep_ms(5);
  CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0 && remaining_ms(ITIMER_REAL) == 0);
  return guest_pass();
}
