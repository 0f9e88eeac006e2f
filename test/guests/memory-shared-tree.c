// Anonymous memory shared by a parent and its children is one piece of memory before and after: what one writes all see.
// mode: checkpoint
// build: static
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

enum { kChildren = 3, kPage = 4096, kPages = 300 };

// Pages of the shared memory: the first for the talk, the second with bytes of the parent's, then one for each child.
struct Talk {
  volatile int turn;  // whose word it is: 0 the parent, i + 1 child i
  volatile int rounds[kChildren];
};

static int child(char* shared, int index, int part_only) {
  struct Talk* talk = (struct Talk*)shared;
  char* own = shared + (2 + index) * kPage;
  guest_fill(own, kPage, (uint64_t)index + 10);
  if (part_only) munmap(shared + 100 * kPage, 50 * kPage);  // its part of the memory is smaller than the others'
  talk->rounds[index] = 1;
  int last = 1;
  while (1) {
    while (talk->turn != index + 1) guest_sleep_ms(1);
    CHECK(talk->rounds[index] == last);
    CHECK(guest_filled(shared + kPage, kPage, 1) && guest_filled(own, kPage, (uint64_t)index + 10));
    CHECK(guest_filled(shared + (kPages - 1) * kPage, kPage, 4));
    last = ++talk->rounds[index];
    talk->turn = 0;
    if (last > 3) return 0;
  }
}

static void round_of_all(struct Talk* talk) {
  for (int i = 0; i < kChildren; i++) {
    int before = talk->rounds[i];
    talk->turn = i + 1;
    while (talk->turn != 0) guest_sleep_ms(1);
    CHECK(talk->rounds[i] == before + 1);
  }
}

int main(void) {
  char* shared = (char*)mmap(NULL, kPages * kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  struct Talk* talk = (struct Talk*)shared;
  guest_fill(shared + kPage, kPage, 1);
  guest_fill(shared + (kPages - 1) * kPage, kPage, 4);
  pid_t children[kChildren];
  for (int i = 0; i < kChildren; i++) {
    children[i] = fork();
    CHECK(children[i] >= 0);
    if (children[i] == 0) _exit(child(shared, i, i == 1));
  }
  for (int i = 0; i < kChildren; i++)
    while (talk->rounds[i] == 0) guest_sleep_ms(1);
  round_of_all(talk);
  // Only the children have the end of it now, but for its last page.
  CHECK(munmap(shared + 200 * kPage, 99 * kPage) == 0);

  guest_checkpoint_here();

  round_of_all(talk);
  round_of_all(talk);
  for (int i = 0; i < kChildren; i++) {
    int status = -1;
    CHECK(guest_filled(shared + (2 + i) * kPage, kPage, (uint64_t)i + 10));
    CHECK(waitpid(children[i], &status, 0) == children[i] && status == 0);
  }
  return guest_pass();
}
