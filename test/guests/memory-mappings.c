// Big and small anonymous mappings, sparse ones, read-only pages with content, and guards that still fault.
// mode: checkpoint
// build: static musl
#include <setjmp.h>
#include <sys/mman.h>

#include "guest.h"

enum { kBig = 64 << 20, kPage = 4096 };

static sigjmp_buf back;
static void on_fault(int signal) { siglongjmp(back, signal); }

// The signal that touching an address raises, 0 for none.
static int fault_of(volatile char* address, int write) {
  int signal = sigsetjmp(back, 1);
  if (signal) return signal;
  if (write)
    *address = 1;
  else
    (void)*address;
  return 0;
}

static char* map(size_t bytes, int protection) {
  char* p = (char*)mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  return p;
}

int main(void) {
  signal(SIGSEGV, on_fault);
  char* big = map(kBig, PROT_READ | PROT_WRITE);
  for (size_t at = 0; at < kBig; at += 16 * kPage) guest_fill(big + at, 2 * kPage, at + 1);
  char* fixed = map(4 * kPage, PROT_READ | PROT_WRITE);
  guest_fill(fixed, 4 * kPage, 7);
  CHECK(mprotect(fixed, 4 * kPage, PROT_READ) == 0);
  char* guarded = map(6 * kPage, PROT_NONE);
  CHECK(mprotect(guarded + kPage, 4 * kPage, PROT_READ | PROT_WRITE) == 0);
  guest_fill(guarded + kPage, 4 * kPage, 9);
  char* hidden = map(4 * kPage, PROT_READ | PROT_WRITE);
  guest_fill(hidden, 4 * kPage, 11);
  CHECK(mprotect(hidden, 4 * kPage, PROT_NONE) == 0);
  char* untouched = map(256 * kPage, PROT_READ | PROT_WRITE);

  guest_checkpoint_here();

  for (size_t at = 0; at < kBig; at += 16 * kPage) {
    CHECK(guest_filled(big + at, 2 * kPage, at + 1));
    CHECK(guest_zero(big + at + 2 * kPage, 14 * kPage));
  }
  CHECK(guest_filled(fixed, 4 * kPage, 7));
  CHECK(fault_of(fixed, 1) == SIGSEGV);
  CHECK(mprotect(fixed, 4 * kPage, PROT_READ | PROT_WRITE) == 0);
  guest_fill(fixed, 4 * kPage, 8);
  CHECK(guest_filled(fixed, 4 * kPage, 8));
  CHECK(fault_of(guarded, 0) == SIGSEGV && fault_of(guarded + 5 * kPage, 0) == SIGSEGV);
  CHECK(guest_filled(guarded + kPage, 4 * kPage, 9));
  CHECK(fault_of(hidden, 0) == SIGSEGV);
  CHECK(mprotect(hidden, 4 * kPage, PROT_READ) == 0);
  CHECK(guest_filled(hidden, 4 * kPage, 11));
  CHECK(guest_zero(untouched, 256 * kPage));
  guest_fill(untouched, 256 * kPage, 12);
  CHECK(guest_filled(untouched, 256 * kPage, 12));
  CHECK(munmap(big, kBig) == 0 && munmap(untouched, 256 * kPage) == 0);
  CHECK(fault_of(big, 0) == SIGSEGV);
  return guest_pass();
}
