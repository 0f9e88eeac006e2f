// The program break grows and shrinks after a restore, keeps its bytes, and what it gains is zero.
// mode: checkpoint
// build: static musl
#include "guest.h"

enum { kBytes = 300000 };

// musl's sbrk refuses to move the break, so the call is made directly.
static char* move_break(char* to) { return (char*)syscall(SYS_brk, to); }

int main(void) {
  dprintf(1, "start\n");  // the allocator takes what printing needs before the break is ours
  char* start = move_break(NULL);
  CHECK(move_break(start + kBytes) == start + kBytes);
  guest_fill(start, kBytes, 1);
  guest_checkpoint_here();
  CHECK(move_break(NULL) == start + kBytes);
  CHECK(guest_filled(start, kBytes, 1));
  CHECK(move_break(start + 4 * kBytes) == start + 4 * kBytes);
  CHECK(guest_filled(start, kBytes, 1) && guest_zero(start + kBytes, 3 * kBytes));
  guest_fill(start, 4 * kBytes, 2);
  CHECK(guest_filled(start, 4 * kBytes, 2));
  CHECK(move_break(start) == start);
  CHECK(move_break(start + kBytes) == start + kBytes);
  size_t rest = -(uintptr_t)start & 4095;  // the page that the break cuts keeps its bytes
  CHECK(guest_zero(start + rest, kBytes - rest));
  return guest_pass();
}
