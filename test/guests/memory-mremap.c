// mremap grows in place, moves, shrinks and keeps contents; what grows is zero.
// mode: checkpoint
// build: static
#include <sys/mman.h>

#include "guest.h"

enum { kPage = 4096, kSmall = 8 * kPage, kLarge = 3 << 20 };

static char* map_at(void* where, size_t bytes, int flags) {
  char* p = (char*)mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  CHECK(p != MAP_FAILED);
  return p;
}

int main(void) {
  // A hole of known size behind `grows`, so that growth in place is possible; none behind `moves`.
  char* arena = map_at(NULL, 4 * kLarge, 0);
  CHECK(munmap(arena, 4 * kLarge) == 0);
  char* grows = map_at(arena, kSmall, MAP_FIXED);
  guest_fill(grows, kSmall, 1);
  char* moves = map_at(arena + 2 * kLarge, 2 * kSmall, MAP_FIXED);
  guest_fill(moves, 2 * kSmall, 2);
  char* large = map_at(NULL, kLarge, 0);
  guest_fill(large, kLarge, 3);
  char* fixed = map_at(NULL, kSmall, 0);
  guest_fill(fixed, kSmall, 4);

  guest_checkpoint_here();

  char* grown = (char*)mremap(grows, kSmall, kLarge, 0);
  CHECK(grown == grows);
  CHECK(guest_filled(grown, kSmall, 1) && guest_zero(grown + kSmall, kLarge - kSmall));
  guest_fill(grown, kLarge, 5);
  CHECK(guest_filled(grown, kLarge, 5));
  char* shrunk = (char*)mremap(grown, kLarge, kPage, 0);
  CHECK(shrunk == grown);
  CHECK((grown = (char*)mremap(shrunk, kPage, kSmall, MREMAP_MAYMOVE)) != MAP_FAILED);
  CHECK(guest_zero(grown + kPage, kSmall - kPage));

  CHECK(mremap(moves, kSmall, kLarge, 0) == MAP_FAILED && errno == ENOMEM);
  CHECK(guest_filled(moves, 2 * kSmall, 2));
  char* moved = (char*)mremap(moves, 2 * kSmall, 2 * kLarge, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  CHECK(guest_filled(moved, 2 * kSmall, 2) && guest_zero(moved + 2 * kSmall, 2 * kLarge - 2 * kSmall));

  char* target = map_at(NULL, kLarge, 0);
  guest_fill(target, kLarge, 6);
  CHECK(mremap(large, kLarge, kLarge, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
  CHECK(guest_filled(target, kLarge, 3));
  target[5] = 1;
  CHECK(madvise(target, kLarge, MADV_DONTNEED) == 0 && guest_zero(target, kLarge));

  char* room = map_at(NULL, 2 * kSmall, 0);
  CHECK(mremap(fixed, kSmall, 2 * kSmall, MREMAP_MAYMOVE | MREMAP_FIXED, room) == room);
  CHECK(guest_filled(room, kSmall, 4) && guest_zero(room + kSmall, kSmall));
  guest_fill(room, 2 * kSmall, 7);
  CHECK(guest_filled(room, 2 * kSmall, 7));
  return guest_pass();
}
