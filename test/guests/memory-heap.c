// Heap blocks of many sizes hold their bytes, and the allocator goes on working on its own structures.
// mode: checkpoint
// build: static musl
#include "guest.h"

enum { kBlocks = 400 };

static size_t size_of(int i) { return i % 50 == 0 ? 300000 + (size_t)i : 1 + ((size_t)i * 7919) % 9000; }

int main(void) {
  static void* blocks[kBlocks];
  for (int i = 0; i < kBlocks; i++) {
    CHECK((blocks[i] = malloc(size_of(i))));
    guest_fill(blocks[i], size_of(i), i);
  }
  for (int i = 0; i < kBlocks; i += 3) {
    free(blocks[i]);
    blocks[i] = NULL;
  }
  guest_checkpoint_here();
  for (int i = 0; i < kBlocks; i++)
    if (blocks[i]) CHECK(guest_filled(blocks[i], size_of(i), i));
  for (int i = 0; i < kBlocks; i++) {
    if (!blocks[i]) {
      CHECK((blocks[i] = calloc(1, size_of(i))));
      CHECK(guest_zero(blocks[i], size_of(i)));
    }
    CHECK((blocks[i] = realloc(blocks[i], size_of(i) * 5)));
    if (i % 3) CHECK(guest_filled(blocks[i], size_of(i), i));
    guest_fill(blocks[i], size_of(i) * 5, i + 1);
  }
  for (int i = 0; i < kBlocks; i++) {
    CHECK(guest_filled(blocks[i], size_of(i) * 5, i + 1));
    free(blocks[i]);
  }
  return guest_pass();
}
