// Advice keeps its meaning for anonymous memory after a restore: MADV_DONTNEED gives zeros, MADV_FREE is accepted, memory marked
// DONTFORK or WIPEONFORK behaves so in a child.
// mode: checkpoint
// build: static
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

enum { kPage = 4096, kBytes = 4 << 20 };

static char* filled(uint64_t seed) {
  char* p = (char*)mmap(NULL, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  guest_fill(p, kBytes, seed);
  return p;
}

// Drops [offset, offset + length) of a fresh copy of the pattern and checks that only those bytes became zeros.
static void drop(char* area, size_t offset, size_t length) {
  char* copy = (char*)malloc(kBytes);
  CHECK(copy);
  memcpy(copy, area, kBytes);
  memset(copy + offset, 0, length);
  CHECK(madvise(area + offset, length, MADV_DONTNEED) == 0);
  CHECK(memcmp(copy, area, kBytes) == 0);
  free(copy);
}

static int in_child(int (*check)(char*), char* area) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) _exit(check(area));
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

static int wiped(char* area) { return guest_zero(area, kBytes) ? 0 : 1; }
static int touched(char* area) { return *(volatile char*)area & 0; }

int main(void) {
  char* dropped = filled(1);
  char* freed = filled(2);
  char* wipe = filled(3);
  char* unforked = filled(4);
  char* advised = filled(5);
  CHECK(madvise(wipe, kBytes, MADV_WIPEONFORK) == 0);
  CHECK(madvise(unforked, kBytes, MADV_DONTFORK) == 0);
  CHECK(madvise(advised, kBytes, MADV_DONTDUMP) == 0);
  madvise(advised, kBytes, MADV_NOHUGEPAGE);  // EINVAL where the kernel has no transparent huge pages

  guest_checkpoint_here();

  CHECK(guest_filled(dropped, kBytes, 1) && guest_filled(freed, kBytes, 2) && guest_filled(advised, kBytes, 5));
  drop(dropped, 3 * kPage, kPage);
  drop(dropped, 64 * kPage, 16 * kPage);
  drop(dropped, 128 * kPage, 512 * kPage);
  drop(dropped, 0, kBytes);
  guest_fill(dropped, kBytes, 6);
  CHECK(guest_filled(dropped, kBytes, 6));
  drop(dropped, 100 * kPage, 200 * kPage);

  CHECK(madvise(freed, kBytes, MADV_FREE) == 0);
  for (size_t at = 0; at < kBytes; at += kPage) freed[at] = 42;
  for (size_t at = 0; at < kBytes; at += kPage) CHECK(freed[at] == 42);

  CHECK(guest_filled(wipe, kBytes, 3) && guest_filled(unforked, kBytes, 4));
  int status = in_child(wiped, wipe);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  status = in_child(touched, unforked);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  CHECK(madvise(unforked, kBytes, MADV_DOFORK) == 0);
  status = in_child(touched, unforked);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return guest_pass();
}
