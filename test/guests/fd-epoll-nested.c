// epoll instances that watch each other, one-shot and edge-triggered registrations, and one of a number that was closed.
// mode: checkpoint
// build: static
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "guest.h"

static void add(int epoll, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data = {.u64 = data}};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

// Data of the only event that is ready, or -1.
static int64_t ready(int epoll) {
  struct epoll_event events[8];
  int count = epoll_wait(epoll, events, 8, 0);
  CHECK(count >= 0 && count <= 1);
  return count == 0 ? -1 : (int64_t)events[0].data.u64;
}

int main(void) {
  int outer = epoll_create1(0), inner = epoll_create1(0), deep = epoll_create1(EPOLL_CLOEXEC);
  int first = eventfd(0, EFD_NONBLOCK), once = eventfd(1, EFD_NONBLOCK), edge = eventfd(0, EFD_NONBLOCK);
  int lost = eventfd(0, EFD_NONBLOCK), kept = dup(lost);
  CHECK(outer >= 0 && inner >= 0 && deep >= 0 && kept >= 0);
  add(deep, first, EPOLLIN, 1);
  add(inner, deep, EPOLLIN, 2);
  add(outer, inner, EPOLLIN, 3);
  int shots = epoll_create1(0), edges = epoll_create1(0), closed = epoll_create1(0);
  add(shots, once, EPOLLIN | EPOLLONESHOT, 4);
  CHECK(ready(shots) == 4 && ready(shots) == -1);
  add(edges, edge, EPOLLIN | EPOLLET, 5);
  add(closed, lost, EPOLLIN, 6);
  CHECK(close(lost) == 0);

  guest_checkpoint_here();

  uint64_t one = 1;
  CHECK(ready(outer) == -1 && write(first, &one, 8) == 8);
  CHECK(ready(outer) == 3 && ready(inner) == 2 && ready(deep) == 1);
  CHECK(read(first, &one, 8) == 8 && ready(outer) == -1);
  CHECK(ready(shots) == -1);  // it has fired
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = 7}};
  CHECK(epoll_ctl(shots, EPOLL_CTL_MOD, once, &event) == 0 && ready(shots) == 7 && ready(shots) == -1);
  CHECK(write(edge, &one, 8) == 8 && ready(edges) == 5 && ready(edges) == -1);
  CHECK(write(kept, &one, 8) == 8 && ready(closed) == 6);
  CHECK(epoll_ctl(outer, EPOLL_CTL_DEL, inner, NULL) == 0 && epoll_ctl(outer, EPOLL_CTL_DEL, inner, NULL) == -1 &&
        errno == ENOENT);
  return guest_pass();
}
