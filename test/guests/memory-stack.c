// The main stack and a MAP_GROWSDOWN mapping keep their bytes and still grow down after a restore.
// mode: checkpoint
#include <sys/mman.h>

#include "guest.h"

enum { kPage = 4096 };

static int __attribute__((noinline)) deep(int depth, volatile char* above) {
  volatile char frame[8192];
  memset((char*)frame, depth, sizeof frame);
  int below = depth ? deep(depth - 1, frame) : 0;
  for (size_t i = 0; i < sizeof frame; i += 512) CHECK(frame[i] == (char)depth);
  return below + (above ? 1 : 0);
}

int main(void) {
  // Room below the mapping: it grows into the hole left by munmap.
  char* arena = (char*)mmap(NULL, 4 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(arena != MAP_FAILED && munmap(arena, 4 << 20) == 0);
  char* top = arena + (3 << 20);
  char* grows = (char*)mmap(top - 4 * kPage, 4 * kPage, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
  CHECK(grows == top - 4 * kPage);
  guest_fill(grows, 4 * kPage, 1);
  grows[-kPage] = 5;  // one page of growth before the checkpoint
  char local[64 * 1024];
  guest_fill(local, sizeof local, 2);
  CHECK(deep(20, local) == 21);

  guest_checkpoint_here();

  CHECK(guest_filled(local, sizeof local, 2));
  CHECK(guest_filled(grows, 4 * kPage, 1) && grows[-kPage] == 5);
  for (int page = 2; page < 64; page++) grows[-page * kPage] = (char)page;
  for (int page = 2; page < 64; page++) CHECK(grows[-page * kPage] == (char)page);
  CHECK(deep(400, local) == 401);  // 3 MB, far beyond what was in use at the checkpoint
  return guest_pass();
}
