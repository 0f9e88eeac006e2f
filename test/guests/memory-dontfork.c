// Memory that children are not to have (MADV_DONTFORK) and memory that they get as zeros (MADV_WIPEONFORK): its bytes are
// there after a checkpoint, in the original and in the copy, and children still do not get them.
// mode: checkpoint
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

enum { kPage = 4096, kAreas = 400, kAreaPages = 4 };

static char* areas[kAreas];

static void check(char* wiped) {
  for (int i = 0; i < kAreas; i++) CHECK(guest_filled(areas[i], kAreaPages * kPage, (uint64_t)i));
  CHECK(guest_filled(wiped, 8 * kPage, 1000));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    unsigned char present[kAreaPages];
    // mincore(2) says ENOMEM where nothing is mapped.
    for (int i = 0; i < kAreas; i++) {
      int here = mincore(areas[i], kAreaPages * kPage, present);
      CHECK(i % 2 == 0 ? here == -1 && errno == ENOMEM : here == 0 && guest_filled(areas[i], kPage, (uint64_t)i));
    }
    CHECK(guest_zero(wiped, 8 * kPage));
    _exit(0);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void) {
  // One after the other, so that only the flag keeps them apart, and some of them apart from the others.
  char* whole = (char*)mmap(NULL, (size_t)kAreas * kAreaPages * kPage, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(whole != MAP_FAILED);
  for (int i = 0; i < kAreas; i++) {
    areas[i] = whole + (size_t)i * kAreaPages * kPage;
    guest_fill(areas[i], kAreaPages * kPage, (uint64_t)i);
    if (i % 2 == 0) CHECK(madvise(areas[i], kAreaPages * kPage, MADV_DONTFORK) == 0);
  }
  char* wiped = (char*)mmap(NULL, 8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(wiped != MAP_FAILED && madvise(wiped, 8 * kPage, MADV_WIPEONFORK) == 0);
  guest_fill(wiped, 8 * kPage, 1000);
  check(wiped);

  guest_checkpoint_here();

  check(wiped);
  return guest_pass();
}
