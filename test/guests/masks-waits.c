// Waits that take a signal mask: what interrupts them, what does not, their results, time-outs and the mask afterwards.
// build: static musl
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>

#include "guest.h"

static volatile int alarms, others;
static void on_alarm(int signal) {
  (void)signal;
  alarms++;
}
static void on_other(int signal) {
  (void)signal;
  others++;
}

static void arm(int ms) {
  struct itimerval timer = {.it_value = {ms / 1000, (ms % 1000) * 1000}};
  CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static int wait_in(int way, int ms, const sigset_t* mask, int fd) {
  struct timespec time = {ms / 1000, (ms % 1000) * 1000000L}, *timeout = ms < 0 ? NULL : &time;
  struct pollfd watched = {.fd = fd, .events = POLLIN};
  struct epoll_event event = {.events = EPOLLIN};
  fd_set reads;
  static int set = -1;
  switch (way) {
    case 0:
      return ppoll(&watched, 1, timeout, mask);
    case 1:
      FD_ZERO(&reads);
      FD_SET(fd, &reads);
      return pselect(fd + 1, &reads, NULL, NULL, timeout, mask);
    case 2:
      if (set < 0) CHECK((set = epoll_create1(0)) >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
      return epoll_pwait(set, &event, 1, ms, mask);
    default:
      return (int)syscall(441, set, &event, 1, timeout, mask, 8);  // epoll_pwait2
  }
}

int main(void) {
  struct sigaction alarm = {.sa_handler = on_alarm}, other = {.sa_handler = on_other, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGALRM, &alarm, NULL) == 0 && sigaction(SIGUSR1, &other, NULL) == 0);
  sigset_t all, none, old, now;
  sigfillset(&all);
  sigemptyset(&none);
  int pipe_ends[2];
  CHECK(pipe(pipe_ends) == 0);
  for (int way = 0; way < 4; way++) {
    // Time-out, with the alarm blocked by the mask of the wait alone.
    alarms = others = 0;
    arm(10);
    int64_t start = guest_clock_ns(CLOCK_MONOTONIC);
    CHECK(wait_in(way, 60, &all, pipe_ends[0]) == 0);
    CHECK(guest_clock_ns(CLOCK_MONOTONIC) - start >= 59000000 && alarms == 1);  // pending, delivered afterwards
    // Blocked outside, let through inside.
    CHECK(sigprocmask(SIG_SETMASK, &all, &old) == 0);
    arm(20);
    CHECK(wait_in(way, -1, &none, pipe_ends[0]) == -1 && errno == EINTR && alarms == 2);
    raise(SIGUSR1);  // SA_RESTART does not restart these
    CHECK(wait_in(way, -1, &none, pipe_ends[0]) == -1 && errno == EINTR && others == 1);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGALRM) == 1 &&
          sigismember(&now, SIGTERM) == 1);
    // Ready, and a signal that stays pending.
    CHECK(write(pipe_ends[1], "x", 1) == 1 && raise(SIGUSR1) == 0);
    CHECK(wait_in(way, -1, &all, pipe_ends[0]) == 1 && others == 1);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && others == 2);
    char byte;
    CHECK(read(pipe_ends[0], &byte, 1) == 1);
    CHECK(wait_in(way, 0, &all, pipe_ends[0]) == 0);
  }
  // The kernel gives back what is left of the time.
  struct timespec left = {5, 0};
  arm(20);
  CHECK(syscall(SYS_ppoll, NULL, 0, &left, &none, 8) == -1 && errno == EINTR && left.tv_sec == 4);
  CHECK(syscall(SYS_ppoll, NULL, 0, &left, &none, 4) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_rt_sigsuspend, &none, 4) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 4) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_rt_sigprocmask, 77, &none, NULL, 8) == -1 && errno == EINVAL);
  return guest_pass();
}
