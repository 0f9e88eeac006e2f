// epoll over several kinds of descriptors: registrations, user data, edge-triggered and one-shot state, a set inside a set.
// mode: checkpoint
// build: static
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "guest.h"

enum { kPipe = 1, kEvent, kTimer, kSocket, kInner, kOnce };

static void add(int set, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data | (uint64_t)fd << 32};
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
}

// The set of data values ready now, one bit each.
static unsigned ready(int set, int ms) {
  struct epoll_event events[16];
  int count = epoll_wait(set, events, 16, ms);
  CHECK(count >= 0);
  unsigned bits = 0;
  for (int i = 0; i < count; i++) bits |= 1u << (events[i].data.u64 & 31);
  return bits;
}

int main(void) {
  int set = epoll_create1(EPOLL_CLOEXEC), inner = epoll_create1(0), ends[2], pair[2];
  CHECK(set >= 0 && inner >= 0 && pipe2(ends, O_NONBLOCK) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  int event = eventfd(0, EFD_NONBLOCK), once = eventfd(0, EFD_NONBLOCK);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  add(set, ends[0], EPOLLIN, kPipe);
  add(set, event, EPOLLIN, kEvent);
  add(set, timer, EPOLLIN, kTimer);
  add(inner, pair[0], EPOLLIN, kSocket);
  add(set, inner, EPOLLIN, kInner);
  add(set, once, EPOLLIN | EPOLLONESHOT, kOnce);
  CHECK(eventfd_write(once, 1) == 0 && ready(set, 0) == 1u << kOnce && ready(set, 0) == 0);  // disarmed from here on
  CHECK(write(ends[1], "x", 1) == 1 && ready(set, 0) == 1u << kPipe);

  guest_checkpoint_here();

  char byte;
  eventfd_t value;
  CHECK(fcntl(set, F_GETFD) == FD_CLOEXEC && fcntl(inner, F_GETFD) == 0);
  CHECK(ready(set, 0) == 1u << kPipe);
  CHECK(read(ends[0], &byte, 1) == 1 && ready(set, 0) == 0);
  CHECK(eventfd_write(event, 1) == 0 && ready(set, 0) == 1u << kEvent);
  CHECK(eventfd_read(event, &value) == 0);
  CHECK(write(pair[1], "y", 1) == 1 && ready(set, 0) == 1u << kInner && ready(inner, 0) == 1u << kSocket);
  CHECK(read(pair[0], &byte, 1) == 1 && ready(set, 0) == 0);
  struct itimerspec soon = {.it_value.tv_nsec = 20000000};
  CHECK(timerfd_settime(timer, 0, &soon, NULL) == 0 && ready(set, 5000) == 1u << kTimer);
  CHECK(read(timer, &value, 8) == 8 && value == 1);
  struct epoll_event rearm = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = kOnce};
  CHECK(epoll_ctl(set, EPOLL_CTL_MOD, once, &rearm) == 0 && ready(set, 0) == 1u << kOnce);
  CHECK(epoll_ctl(set, EPOLL_CTL_DEL, event, NULL) == 0 && eventfd_write(event, 1) == 0 && ready(set, 0) == 0);
  return guest_pass();
}
