// An epoll instance that a parent and its children share, as servers with workers have it.
// mode: checkpoint
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "guest.h"

#define CHILDREN 3

int main(void) {
  int epoll = epoll_create1(0), event_fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE), up[2];
  struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data = {.u64 = 99}};
  CHECK(epoll >= 0 && event_fd >= 0 && pipe(up) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, event_fd, &event) == 0);
  pid_t children[CHILDREN];
  for (int i = 0; i < CHILDREN; i++) {
    children[i] = fork();
    CHECK(children[i] >= 0);
    if (children[i] != 0) continue;
    uint64_t count;
    char byte = (char)('a' + i);
    CHECK(write(up[1], "r", 1) == 1);
    do {
      int got;
      while ((got = epoll_wait(epoll, &event, 1, -1)) < 0) CHECK(errno == EINTR);
      CHECK(got == 1 && event.data.u64 == 99);
    } while (read(event_fd, &count, 8) != 8);
    CHECK(write(up[1], &byte, 1) == 1);
    _exit(0);
  }
  char byte;
  for (int i = 0; i < CHILDREN; i++) CHECK(read(up[0], &byte, 1) == 1 && byte == 'r');
  guest_checkpoint_here();
  uint64_t one = 1;
  int seen = 0;
  for (int i = 0; i < CHILDREN; i++) {
    CHECK(write(event_fd, &one, 8) == 8 && read(up[0], &byte, 1) == 1);
    seen |= 1 << (byte - 'a');
  }
  CHECK(seen == (1 << CHILDREN) - 1);
  int status;
  for (int i = 0; i < CHILDREN; i++) CHECK(waitpid(children[i], &status, 0) == children[i] && status == 0);
  return guest_pass();
}
