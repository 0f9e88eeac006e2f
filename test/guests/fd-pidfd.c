// pidfds: of the process itself, and of a child that has ended and was waited for.
// mode: checkpoint
#include <poll.h>
#include <sys/wait.h>

#include "guest.h"

static int pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int main(void) {
  int own = pidfd_open(getpid());
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) _exit(3);
  int ended = pidfd_open(child), status;
  CHECK(own >= 0 && ended >= 0 && waitpid(child, &status, 0) == child);
  guest_checkpoint_here();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  CHECK(syscall(SYS_pidfd_send_signal, own, SIGUSR1, NULL, 0) == 0);
  siginfo_t info;
  CHECK(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_pid == getpid());
  struct pollfd polled[2] = {{own, POLLIN, 0}, {ended, POLLIN, 0}};
  CHECK(poll(polled, 2, 0) == 1 && (polled[1].revents & POLLIN) != 0);
  CHECK(syscall(SYS_pidfd_send_signal, ended, 0, NULL, 0) == -1 && errno == ESRCH);
  CHECK((fcntl(own, F_GETFD) & FD_CLOEXEC) != 0);
  return guest_pass();
}
