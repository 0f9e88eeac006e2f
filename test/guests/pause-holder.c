// While the pages of a program that goes on are being written, nothing else of it is held: an end of a pipe that it closes
// is closed at once, a port that it gives up is free, a lock that it drops can be had, its children are its own.
// mode: checkpoint
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "guest.h"

enum { kBytes = 64 << 20 };

static void pipe_ends(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  sched_yield();
  CHECK(close(ends[1]) == 0);
  struct pollfd query = {ends[0], POLLIN, 0};
  CHECK(poll(&query, 1, 0) == 1 && (query.revents & POLLHUP) != 0);
  char byte;
  CHECK(read(ends[0], &byte, 1) == 0 && close(ends[0]) == 0);
}

static int listening(struct sockaddr_in* address) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0 && bind(fd, (struct sockaddr*)address, sizeof *address) == 0 && listen(fd, 1) == 0);
  socklen_t bytes = sizeof *address;
  CHECK(getsockname(fd, (struct sockaddr*)address, &bytes) == 0);
  return fd;
}

static void port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int first = listening(&address);
  CHECK(close(first) == 0);
  // Taken by somebody else in between, it is no concern of ours.
  int second = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int bound = bind(second, (struct sockaddr*)&address, sizeof address);
  if (bound == 0) CHECK(listen(second, 1) == 0);
  CHECK(close(second) == 0);
}

static void lock(const char* path) {
  int first = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK(first >= 0 && flock(first, LOCK_EX) == 0);
  sched_yield();
  CHECK(close(first) == 0);
  int second = open(path, O_RDWR | O_CLOEXEC);
  CHECK(second >= 0 && flock(second, LOCK_EX | LOCK_NB) == 0 && close(second) == 0);
}

int main(void) {
  char path[512];
  guest_path(&path, "locked");
  char* memory = (char*)mmap(NULL, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  guest_fill(memory, kBytes, 1);
  uint64_t marks = 0;
  volatile uint64_t* mark = (volatile uint64_t*)memory;
  uint64_t first = *mark;

  dprintf(1, "READY\n");
  while (!guest_may_go()) {
    for (int i = 0; i < 20; i++) {
      *mark = ++marks;  // what is written now must not be in the image
      pipe_ends();
      lock(path);
      if (i == 0) port();
      CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
      CHECK(*mark == marks);
    }
    guest_sleep_ms(1);
  }
  *mark = first;
  CHECK(guest_filled(memory, kBytes, 1));
  return guest_pass();
}
