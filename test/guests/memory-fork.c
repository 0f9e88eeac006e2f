// A child forked after a restore shares the image's pages copy-on-write: neither side sees the other's writes.
// mode: checkpoint
// build: static musl
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

enum { kBytes = 8 << 20 };

int main(void) {
  char* area = (char*)mmap(NULL, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(area != MAP_FAILED);
  guest_fill(area, kBytes, 1);
  guest_checkpoint_here();
  int to_child[2], to_parent[2];
  CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  char byte = 0;
  if (child == 0) {
    CHECK(guest_filled(area, kBytes, 1));
    CHECK(write(to_parent[1], "a", 1) == 1);
    CHECK(read(to_child[0], &byte, 1) == 1);
    CHECK(guest_filled(area, kBytes, 1));  // the parent has written meanwhile
    guest_fill(area, kBytes, 3);
    CHECK(madvise(area, kBytes / 2, MADV_DONTNEED) == 0 && guest_zero(area, kBytes / 2));
    CHECK(write(to_parent[1], "b", 1) == 1);
    _exit(0);
  }
  CHECK(read(to_parent[0], &byte, 1) == 1 && byte == 'a');
  guest_fill(area, kBytes, 2);
  CHECK(write(to_child[1], "c", 1) == 1);
  CHECK(read(to_parent[0], &byte, 1) == 1 && byte == 'b');
  CHECK(guest_filled(area, kBytes, 2));
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(system("exit 9") == 9 << 8);
  return guest_pass();
}
