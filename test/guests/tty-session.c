// A child that leads a session on a pseudoterminal of its parent's, with a foreground group of its own child.
// mode: checkpoint
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "guest.h"

static volatile sig_atomic_t interrupted;
static void on_interrupt(int signal) { (void)signal, interrupted = 1; }

int main(void) {
  int master = posix_openpt(O_RDWR | O_NOCTTY), up[2];
  CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 && pipe(up) == 0);
  char byte = 'r';
  pid_t leader = fork();
  CHECK(leader >= 0);
  if (leader == 0) {
    CHECK(setsid() == getpid());
    int slave = open(ptsname(master), O_RDWR);  // becomes the controlling terminal
    CHECK(slave >= 0 && ioctl(slave, TIOCSCTTY, 0) == 0 && close(master) == 0);
    pid_t worker = fork();
    CHECK(worker >= 0);
    if (worker == 0) {
      struct sigaction action = {.sa_handler = on_interrupt};
      CHECK(setpgid(0, 0) == 0 && sigaction(SIGINT, &action, NULL) == 0);
      CHECK(write(up[1], &byte, 1) == 1);
      while (!interrupted) guest_sleep_ms(5);
      CHECK(tcgetpgrp(slave) == getpgrp() && tcgetsid(slave) == getppid());
      _exit(5);
    }
    setpgid(worker, worker);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTTOU);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && tcsetpgrp(slave, worker) == 0);
    CHECK(write(up[1], &byte, 1) == 1);
    int status;
    CHECK(waitpid(worker, &status, 0) == worker && WIFEXITED(status) && WEXITSTATUS(status) == 5);
    int tty = open("/dev/tty", O_RDWR);
    CHECK(tty >= 0 && tcgetsid(tty) == getpid() && tcsetpgrp(tty, getpgrp()) == 0);
    _exit(6);
  }
  CHECK(read(up[0], &byte, 1) == 1 && read(up[0], &byte, 1) == 1);
  guest_checkpoint_here();
  int status;
  CHECK(write(master, "\003", 1) == 1);  // the terminal makes SIGINT of it, for the foreground group
  CHECK(waitpid(leader, &status, 0) == leader && WIFEXITED(status) && WEXITSTATUS(status) == 6);
  return guest_pass();
}
