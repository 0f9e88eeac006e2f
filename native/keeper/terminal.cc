#include "keeper/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

namespace stasis::keeper {

namespace {

constexpr int kEndingMs = 200, kPauseMs = 5;

}  // namespace

void CallersTerminal::remember() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (tcgetpgrp(fd) == getpgrp() && tcgetattr(fd, &modes_) == 0) {
      known_ = true;
      return;
    }
  }
}

void CallersTerminal::put_back() const {
  if (!known_) return;
  // The keeper has let the streams go.
  int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return;
  const pid_t group = tcgetpgrp(fd);
  // A group of the application's that is gone; another that lives has taken the terminal. Those that were killed with the first
  // process may be about to end, and to be reaped here.
  bool left = false;
  for (int waited = 0; group > 0 && group != getpgrp() && !left && waited < kEndingMs; waited += kPauseMs) {
    if (waited > 0) poll(nullptr, 0, kPauseMs);
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    left = kill(-group, 0) != 0 && errno == ESRCH;
  }
  if (left) tcsetpgrp(fd, getpgrp());
  if (left || group == getpgrp()) tcsetattr(fd, TCSANOW, &modes_);
  close(fd);
}

void CallersTerminal::announce() const {
  if (!known_) return;
  int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return;
  const pid_t group = tcgetpgrp(fd);
  if (group > 0) kill(-group, SIGWINCH);
  close(fd);
}

}  // namespace stasis::keeper
