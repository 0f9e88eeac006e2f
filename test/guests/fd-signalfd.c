// signalfd: the mask, a signal that waits in it with its value, and epoll on it.
// mode: checkpoint
// build: static
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "guest.h"

int main(void) {
  sigset_t set, other;
  sigemptyset(&set);
  sigemptyset(&other);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGRTMIN + 1);
  sigaddset(&other, SIGUSR2);
  CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && sigprocmask(SIG_BLOCK, &other, NULL) == 0);
  int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), second = signalfd(-1, &other, SFD_NONBLOCK);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = 4711}};
  CHECK(fd >= 0 && second >= 0 && epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
  CHECK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 1234}) == 0);
  guest_checkpoint_here();
  struct signalfd_siginfo info;
  CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(second, F_GETFD) == 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  CHECK(epoll_wait(epoll, &event, 1, 1000) == 1 && event.data.u64 == 4711);
  CHECK(read(fd, &info, sizeof info) == sizeof info);
  CHECK(info.ssi_signo == (uint32_t)SIGRTMIN + 1 && info.ssi_int == 1234 && info.ssi_pid == (uint32_t)getpid());
  CHECK(read(fd, &info, sizeof info) == -1 && errno == EAGAIN);
  CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
  CHECK(kill(getpid(), SIGUSR1) == 0 && kill(getpid(), SIGUSR2) == 0);
  CHECK(epoll_wait(epoll, &event, 1, 1000) == 1);
  CHECK(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1);
  CHECK(read(fd, &info, sizeof info) == -1 && errno == EAGAIN);
  CHECK(read(second, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR2);
  // A mask that is changed on the descriptor.
  CHECK(signalfd(fd, &other, 0) == fd && kill(getpid(), SIGUSR2) == 0);
  CHECK(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR2);
  return guest_pass();
}
