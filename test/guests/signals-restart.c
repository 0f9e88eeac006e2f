// A signal during a blocking call: restarted with SA_RESTART, EINTR without, never in between; a stop and continue are
// not seen at all. build: static musl
#include <sys/wait.h>

#include "guest.h"

static volatile int handled;
static void on_signal(int signal) {
  (void)signal;
  handled++;
}

static void handle(int flags) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  handled = 0;
}

// State letter of /proc/PID/stat.
static char state_of(pid_t pid) {
  char path[64], text[256] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) _exit(2);
  close(fd);
  return strrchr(text, ')')[2];
}

// A child that signals us when we have been asleep for 20 ms, and writes 40 ms later.
static pid_t disturb(int fd, int signal) {
  pid_t child = fork();
  if (child) return child;
  for (int asleep = 0; asleep < 20; guest_sleep_ms(1)) asleep = state_of(getppid()) == 'S' ? asleep + 1 : 0;
  kill(getppid(), signal);
  guest_sleep_ms(40);
  if (signal == SIGSTOP) kill(getppid(), SIGCONT);
  if (write(fd, "x", 1) != 1) _exit(1);
  _exit(0);
}

int main(void) {
  int ends[2], status;
  char byte;
  CHECK(pipe(ends) == 0);
  handle(SA_RESTART);
  pid_t child = disturb(ends[1], SIGUSR1);
  CHECK(read(ends[0], &byte, 1) == 1 && handled == 1 && waitpid(child, &status, 0) == child && status == 0);
  handle(0);
  child = disturb(ends[1], SIGUSR1);
  CHECK(read(ends[0], &byte, 1) == -1 && errno == EINTR && handled == 1);
  CHECK(read(ends[0], &byte, 1) == 1 && waitpid(child, &status, 0) == child && status == 0);
  child = disturb(ends[1], SIGUSR1);
  struct timespec time = {100, 0}, left = {0, 0};
  CHECK(nanosleep(&time, &left) == -1 && errno == EINTR && left.tv_sec > 0 && left.tv_sec < 100);
  CHECK(read(ends[0], &byte, 1) == 1 && waitpid(child, &status, 0) == child && status == 0);
  // pause and sigsuspend always end; the stop below does not.
  handle(SA_RESTART);
  child = disturb(ends[1], SIGUSR1);
  CHECK(pause() == -1 && errno == EINTR && handled == 1);
  CHECK(read(ends[0], &byte, 1) == 1 && waitpid(child, &status, 0) == child && status == 0);

  handled = 0;
  pid_t stopped = fork();
  if (stopped == 0) {
    sigset_t mask;
    sigemptyset(&mask);
    child = disturb(ends[1], SIGSTOP);
    alarm(1);
    signal(SIGALRM, on_signal);
    sigsuspend(&mask);
    _exit(handled == 1 ? 0 : 1);
  }
  int64_t start = guest_clock_ns(CLOCK_MONOTONIC);
  CHECK(waitpid(stopped, &status, 0) == stopped && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(guest_clock_ns(CLOCK_MONOTONIC) - start > 900000000);
  return guest_pass();
}
