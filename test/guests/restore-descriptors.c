// The table of descriptors is what it was: every number open that was, none besides, close-on-exec kept for each
// number, also for numbers far above the usual limit. mode: checkpoint
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "guest.h"

enum { kNumbers = 1200 };

// Flags of a number, -1 if it is closed; independent of /proc, so that looking opens nothing.
static int look(int fd) { return fcntl(fd, F_GETFD); }

int main(void) {
  static int before[kNumbers];
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_cur < kNumbers && limit.rlim_max >= kNumbers) {
    limit.rlim_cur = kNumbers;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  int highest = limit.rlim_cur < kNumbers ? (int)limit.rlim_cur - 1 : kNumbers - 1;
  int counter = eventfd(0, 0);
  CHECK(counter >= 0);
  CHECK(dup3(counter, 40, O_CLOEXEC) == 40 && dup2(counter, 41) == 41);
  if (highest > 700) CHECK(dup3(counter, 700, O_CLOEXEC) == 700);
  int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  CHECK(file >= 0 && lseek(file, 1, SEEK_SET) == 1);
  int twin = dup(file);
  CHECK(twin >= 0);
  for (int fd = 0; fd <= highest; fd++) before[fd] = look(fd);

  guest_checkpoint_here();

  for (int fd = 0; fd <= highest; fd++) {
    if (look(fd) != before[fd]) dprintf(1, "fd %d: %d, was %d\n", fd, look(fd), before[fd]);
    CHECK(look(fd) == before[fd]);
  }
  // Numbers that were duplicates are duplicates.
  CHECK(eventfd_write(40, 5) == 0);
  eventfd_t value;
  CHECK(eventfd_read(41, &value) == 0 && value == 5);
  char magic[3];
  CHECK(read(twin, magic, 3) == 3 && memcmp(magic, "ELF", 3) == 0);
  CHECK(lseek(file, 0, SEEK_CUR) == 4);
  // The lowest free number is what it was.
  int next = 0;
  while (before[next] >= 0) next++;
  CHECK(dup(counter) == next);
  return guest_pass();
}
