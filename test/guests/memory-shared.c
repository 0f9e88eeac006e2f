// Shared anonymous memory of one process keeps its bytes, and children forked after a restore share it.
// mode: checkpoint
// build: static
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

enum { kBytes = 3 << 20, kPage = 4096 };

int main(void) {
  char* shared = (char*)mmap(NULL, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  guest_fill(shared, kBytes / 2, 1);

  guest_checkpoint_here();

  CHECK(guest_filled(shared, kBytes / 2, 1) && guest_zero(shared + kBytes / 2, kBytes / 2));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(guest_filled(shared, kBytes / 2, 1));
    guest_fill(shared, kBytes, 2);
    CHECK(madvise(shared, kBytes, MADV_DONTNEED) == 0);  // drops the mapping's pages, not the memory's bytes
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(guest_filled(shared, kBytes, 2));
  CHECK(madvise(shared, kBytes, MADV_DONTNEED) == 0 && guest_filled(shared, kBytes, 2));
  return guest_pass();
}
