// Expirations of timers that were not taken yet: one signal waits, the others are counted as overruns.
// mode: checkpoint
// pause: 1
#include "guest.h"

static const int64_t kMs = 1000000;

static int make_timer(int signal) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal, .sigev_value = {.sival_int = signal}};
  int id = -1;
  CHECK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id) == 0);
  return id;
}

static void set(int id, int64_t value_ns, int64_t interval_ns) {
  struct itimerspec spec = {{interval_ns / 1000000000, interval_ns % 1000000000},
                            {value_ns / 1000000000, value_ns % 1000000000}};
  CHECK(syscall(SYS_timer_settime, id, 0, &spec, NULL) == 0);
}

static int take(int signal, siginfo_t* info) {
  sigset_t set;
  struct timespec none = {0, 0};
  sigemptyset(&set);
  sigaddset(&set, signal);
  return sigtimedwait(&set, info, &none);
}

int main(void) {
  sigset_t blocked;
  siginfo_t info;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN);
  sigaddset(&blocked, SIGRTMIN + 1);
  sigaddset(&blocked, SIGUSR1);
  CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
  int fast = make_timer(SIGRTMIN), once = make_timer(SIGUSR1), slow = make_timer(SIGRTMIN + 1);
  int64_t start = guest_clock_ns(CLOCK_MONOTONIC);
  set(fast, 5 * kMs, 5 * kMs);
  set(once, 1 * kMs, 0);
  set(slow, 10 * kMs, 600000 * kMs);
  guest_sleep_ms(60);

  guest_checkpoint_here();

  // As many as the program's clock says, whether it waited here for a second or for ten.
  int64_t passed = (guest_clock_ns(CLOCK_MONOTONIC) - start) / (5 * kMs);
  int64_t counted = 0;
  for (int taken = 0; take(SIGRTMIN, &info) == SIGRTMIN; taken++) {
    CHECK(taken < 1000 && info.si_code == SI_TIMER && info.si_value.sival_int == SIGRTMIN);
    counted += info.si_overrun + 1;
  }
  int64_t later = (guest_clock_ns(CLOCK_MONOTONIC) - start) / (5 * kMs);
  if (counted < passed - 40 || counted > later + 40)
    dprintf(1, "%lld of %lld to %lld\n", (long long)counted, (long long)passed, (long long)later);
  CHECK(counted >= passed - 40 && counted <= later + 40);  // a busy machine arms timers late
  CHECK(take(SIGUSR1, &info) == SIGUSR1 && info.si_code == SI_TIMER && info.si_overrun == 0);
  CHECK(take(SIGUSR1, &info) == -1 && errno == EAGAIN);
  CHECK(take(SIGRTMIN + 1, &info) == SIGRTMIN + 1 && info.si_overrun == 0);
  CHECK(take(SIGRTMIN + 1, &info) == -1 && errno == EAGAIN);
  struct itimerspec spec;
  CHECK(syscall(SYS_timer_gettime, slow, &spec) == 0 && spec.it_value.tv_sec > 500 && spec.it_interval.tv_sec == 600);
  CHECK(syscall(SYS_timer_gettime, once, &spec) == 0 && spec.it_value.tv_sec == 0 && spec.it_value.tv_nsec == 0);
  return guest_pass();
}
