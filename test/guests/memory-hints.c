// Addresses that mmap is asked for: demanded ones, low ones, those of memory that is accessible at once and those of large reservations
// are honoured. A small reservation may come to lie anywhere, and works as any other memory.
// mode: checkpoint
// build: static
#include <sys/mman.h>

#include "guest.h"

enum { kPage = 4096, kPiece = 256 << 10, kPieces = 40 };

#define RESERVED (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static char* at(uint64_t address) { return (char*)(uintptr_t)address; }

// Free in every process here.
static char* wish(unsigned i) { return at(0x123400000000 + i * 0x140000000ULL); }

static void honoured(char* address, size_t bytes, int protection, int flags) {
  CHECK(mmap(address, bytes, protection, flags, -1, 0) == address);
  CHECK(munmap(address, bytes) == 0);
}

// As V8 does: twice the size, the ends cut off, then made accessible.
static char* chunk(unsigned i) {
  char* p = (char*)mmap(wish(i), 2 * kPiece - kPage, PROT_NONE, RESERVED, -1, 0);
  CHECK(p != MAP_FAILED);
  CHECK(madvise(p, 2 * kPiece - kPage, MADV_DONTFORK) == 0);
  char* aligned = at(((uintptr_t)p + kPiece - 1) & ~(uintptr_t)(kPiece - 1));
  char* end = p + 2 * kPiece - kPage;
  if (aligned > p) CHECK(munmap(p, (size_t)(aligned - p)) == 0);
  if (end > aligned + kPiece) CHECK(munmap(aligned + kPiece, (size_t)(end - aligned - kPiece)) == 0);
  CHECK(mprotect(aligned, kPiece, PROT_READ | PROT_WRITE) == 0);
  return aligned;
}

static void check_wishes(void) {
  honoured(wish(0), kPiece, PROT_NONE, RESERVED | MAP_FIXED);
  honoured(wish(0), kPiece, PROT_NONE, RESERVED | MAP_FIXED_NOREPLACE);
  honoured(wish(0), kPiece, PROT_READ | PROT_WRITE, RESERVED);
  honoured(wish(0), kPiece, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  honoured(wish(0), 4 << 20, PROT_NONE, RESERVED);
  honoured(wish(0), 1ULL << 32, PROT_NONE, RESERVED);
  honoured(at(0x70000000), kPiece, PROT_NONE, RESERVED);
  errno = 0;
  CHECK(mmap(wish(0), 0, PROT_NONE, RESERVED, -1, 0) == MAP_FAILED && errno == EINVAL);
}

int main(void) {
  char* chunks[2 * kPieces];
  check_wishes();
  for (unsigned i = 0; i < kPieces; i++) {
    chunks[i] = chunk(i);
    // Some whole, some with little in them.
    guest_fill(chunks[i], i % 3 == 0 ? kPiece : 2 * kPage, i);
  }

  guest_checkpoint_here();

  check_wishes();
  for (unsigned i = kPieces; i < 2 * kPieces; i++) {
    chunks[i] = chunk(i);
    guest_fill(chunks[i], kPiece, i);
  }
  for (unsigned i = 0; i < kPieces; i++) {
    if (i % 3 == 0) continue;
    CHECK(guest_filled(chunks[i], 2 * kPage, i) && guest_zero(chunks[i] + 2 * kPage, kPiece - 2 * kPage));
    guest_fill(chunks[i], kPiece, i);
  }
  // Giving one back leaves its neighbours alone.
  for (unsigned i = 0; i < 2 * kPieces; i += 2) CHECK(munmap(chunks[i], kPiece) == 0);
  for (unsigned i = 1; i < 2 * kPieces; i += 4) {
    CHECK(guest_filled(chunks[i], kPiece, i));
    CHECK(madvise(chunks[i], kPiece, MADV_DONTNEED) == 0);
    CHECK(guest_zero(chunks[i], kPiece));
  }
  for (unsigned i = 3; i < 2 * kPieces; i += 4) CHECK(guest_filled(chunks[i], kPiece, i));
  return guest_pass();
}
