// Shared anonymous memory that is mapped at two places is one piece of memory, and stays so.
// mode: checkpoint
#include <sys/mman.h>

#include "guest.h"

enum { kPage = 4096, kPages = 64 };

int main(void) {
  char* first = (char*)mmap(NULL, kPages * kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(first != MAP_FAILED);
  guest_fill(first, kPage, 1);
  guest_fill(first + 40 * kPage, 2 * kPage, 2);
  // A length of 0 asks for a second mapping of the same memory (mremap(2)).
  char* second = (char*)mremap(first + 32 * kPage, 0, 32 * kPage, MREMAP_MAYMOVE);
  CHECK(second != MAP_FAILED);
  CHECK(mprotect(second, 4 * kPage, PROT_READ) == 0);
  CHECK(guest_filled(second + 8 * kPage, 2 * kPage, 2));

  guest_checkpoint_here();

  CHECK(guest_filled(first, kPage, 1) && guest_filled(first + 40 * kPage, 2 * kPage, 2));
  CHECK(guest_filled(second + 8 * kPage, 2 * kPage, 2));
  guest_fill(second + 20 * kPage, kPage, 3);
  CHECK(guest_filled(first + 52 * kPage, kPage, 3));
  guest_fill(first + 33 * kPage, kPage, 4);
  CHECK(guest_filled(second + kPage, kPage, 4));
  CHECK(munmap(first, kPages * kPage) == 0 && guest_filled(second + 8 * kPage, 2 * kPage, 2));
  return guest_pass();
}
