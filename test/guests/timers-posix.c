// POSIX timers keep their ids, clocks, signals with values, period and the rest of the current one; the pause does not count.
// mode: checkpoint
// pause: 2
// build: static
#include "guest.h"

static const int64_t kMs = 1000000;
static volatile sig_atomic_t fired, value_seen;

static void on_timer(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  fired++;
  value_seen = info->si_value.sival_int;
}

static int make_timer(clockid_t clock, int notify, int value) {
  struct sigevent event = {.sigev_notify = notify, .sigev_signo = SIGRTMIN + 2, .sigev_value = {.sival_int = value}};
  int id = -1;
  CHECK(syscall(SYS_timer_create, clock, &event, &id) == 0);
  return id;
}

static void set(int id, int flags, int64_t value_ns, int64_t interval_ns) {
  struct itimerspec spec = {{interval_ns / 1000000000, interval_ns % 1000000000},
                            {value_ns / 1000000000, value_ns % 1000000000}};
  CHECK(syscall(SYS_timer_settime, id, flags, &spec, NULL) == 0);
}

static int64_t remaining_ns(int id) {
  struct itimerspec spec;
  CHECK(syscall(SYS_timer_gettime, id, &spec) == 0);
  return (int64_t)spec.it_value.tv_sec * 1000000000 + spec.it_value.tv_nsec;
}

int main(void) {
  struct sigaction action = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART};
  CHECK(sigaction(SIGRTMIN + 2, &action, NULL) == 0);
  int gone[3];
  for (int i = 0; i < 3; i++) gone[i] = make_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0);
  int relative = make_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, 11);
  int absolute = make_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, 12);
  int boot = make_timer(CLOCK_BOOTTIME, SIGEV_NONE, 13);
  int wall = make_timer(CLOCK_REALTIME, SIGEV_SIGNAL, 14);
  int processor = make_timer(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, 15);
  int idle = make_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, 16);
  int periodic = make_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, 17);
  for (int i = 0; i < 3; i++) CHECK(syscall(SYS_timer_delete, gone[i]) == 0);
  int64_t start = guest_clock_ns(CLOCK_MONOTONIC);
  set(relative, 0, 600000 * kMs, 0);
  set(absolute, TIMER_ABSTIME, start + 600000 * kMs, 0);
  set(boot, 0, 600000 * kMs, 0);
  set(wall, TIMER_ABSTIME, guest_clock_ns(CLOCK_REALTIME) + 600000 * kMs, 0);
  set(processor, 0, 500 * 1000 * kMs, 0);
  set(periodic, 0, 700000 * kMs, 650000 * kMs);

  guest_checkpoint_here();

  CHECK(fired == 0);
  int64_t passed = guest_clock_ns(CLOCK_MONOTONIC) - start, slack = 1500 * kMs;
  int same[] = {relative, absolute, boot};
  for (int i = 0; i < 3; i++) {
    int64_t error = remaining_ns(same[i]) - (600000 * kMs - passed);
    if (error < -slack || error > slack) dprintf(1, "timer %d is %lld ms off\n", i, (long long)(error / kMs));
    CHECK(error > -slack && error < slack);
  }
  CHECK(remaining_ns(wall) > 0 && remaining_ns(wall) < 600000 * kMs);
  CHECK(remaining_ns(processor) > 400 * 1000 * kMs && remaining_ns(processor) <= 500 * 1000 * kMs);
  CHECK(remaining_ns(idle) == 0);
  struct itimerspec spec;
  CHECK(syscall(SYS_timer_gettime, periodic, &spec) == 0 && spec.it_interval.tv_sec == 650 &&
        spec.it_value.tv_sec > 690);

  set(idle, 0, 5 * kMs, 0);
  while (fired < 1) guest_sleep_ms(1);
  CHECK(value_seen == 16);
  set(absolute, TIMER_ABSTIME, guest_clock_ns(CLOCK_MONOTONIC) + 5 * kMs, 0);
  while (fired < 2) guest_sleep_ms(1);
  CHECK(value_seen == 12);
  set(processor, 0, 10 * kMs, 10 * kMs);
  for (volatile uint64_t i = 0; fired < 4; i++) CHECK(i < 5000000000u);
  CHECK(value_seen == 15);
  set(processor, 0, 0, 0);
  // The ids are those of before, and a new timer gets one that no other has.
  int another = make_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0);
  int all[] = {relative, absolute, boot, wall, processor, idle, periodic};
  for (int i = 0; i < 7; i++) {
    CHECK(another != all[i]);
    CHECK(syscall(SYS_timer_delete, all[i]) == 0 && syscall(SYS_timer_delete, all[i]) == -1 && errno == EINVAL);
  }
  CHECK(syscall(SYS_timer_delete, another) == 0);
  return guest_pass();
}
