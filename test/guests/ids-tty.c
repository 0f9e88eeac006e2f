// Groups and sessions of a terminal: tcgetpgrp, tcsetpgrp, tcgetsid, and the stop of a background process that sets the group.
// build: static musl
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "guest.h"

static int open_terminal(int* other) {
  int main_end = posix_openpt(O_RDWR | O_NOCTTY);
  CHECK(main_end >= 0 && grantpt(main_end) == 0 && unlockpt(main_end) == 0);
  *other = open(ptsname(main_end), O_RDWR | O_NOCTTY);
  CHECK(*other >= 0);
  return main_end;
}

static volatile sig_atomic_t stops;

static void on_stop(int signal) {
  (void)signal;
  stops++;
}

// In a background group the call raises SIGTTOU and is made again after the handler, until the signal is blocked.
static void in_background(int terminal) {
  struct sigaction action = {.sa_handler = on_stop};
  CHECK(sigaction(SIGTTOU, &action, NULL) == 0);
  CHECK(tcsetpgrp(terminal, getpgrp()) == -1 && errno == EINTR && stops > 0);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGTTOU);
  CHECK(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
  CHECK(tcsetpgrp(terminal, getpgrp()) == 0 && tcgetpgrp(terminal) == getpgrp());
}

static void leader(int terminal) {
  CHECK(setsid() == getpid());
  CHECK(ioctl(terminal, TIOCSCTTY, 0) == 0);
  CHECK(tcgetpgrp(terminal) == getpid() && tcgetsid(terminal) == getpid() && getsid(0) == getpid());
  pid_t child = fork();
  if (child == 0) {
    CHECK(setpgid(0, 0) == 0 && getpgrp() == getpid());
    CHECK(tcgetpgrp(terminal) == getppid() && tcgetsid(terminal) == getppid());
    in_background(terminal);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  signal(SIGTTOU, SIG_IGN);
  // The group has ended, but it is still the terminal's.
  CHECK(tcsetpgrp(terminal, getpgrp()) == 0 && tcgetpgrp(terminal) == getpid());
  CHECK(tcsetpgrp(terminal, 0x3ffffff) == -1 && errno == ESRCH);
  CHECK(tcsetpgrp(terminal, -3) == -1 && errno == EINVAL);
  CHECK(ioctl(terminal, TIOCSPGRP, (void*)1) == -1 && errno == EFAULT);

  // A stopped job is continued in the foreground, as a shell does it.
  child = fork();
  if (child == 0) {
    CHECK(setpgid(0, 0) == 0);
    signal(SIGTTOU, SIG_DFL);
    CHECK(tcsetpgrp(terminal, getpgrp()) == 0 && tcgetpgrp(terminal) == getpid());
    _exit(0);
  }
  CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
  CHECK(tcsetpgrp(terminal, child) == 0 && kill(-child, SIGCONT) == 0);
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void) {
  int terminal, main_end = open_terminal(&terminal);
  CHECK(tcgetpgrp(terminal) == -1 && errno == ENOTTY);
  int pipe_ends[2];
  CHECK(pipe(pipe_ends) == 0 && tcgetpgrp(pipe_ends[0]) == -1 && errno == ENOTTY);
  CHECK(tcsetpgrp(pipe_ends[0], getpgrp()) == -1 && errno == ENOTTY);
  pid_t child = fork();
  if (child == 0) {
    leader(terminal);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(close(main_end) == 0);
  return guest_pass();
}
