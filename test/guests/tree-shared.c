// Memory that processes share stays one: shared anonymous memory mapped whole and in parts, a memory file mapped and open, a mutex and a
// futex in it that others wait at.
// mode: checkpoint
// build: static
#include <linux/futex.h>
#include <pthread.h>

#include "tree.h"

enum { kPages = 64, kChildren = 3 };

struct shared {
  atomic_int ready, turn, word;
  pthread_mutex_t mutex;
  int counter;
};

static char* area;  // kPages, shared
static char* file_area;
static int memory_file;

static void wait_at(atomic_int* word, int value) {
  while (atomic_load(word) == value) syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static int child(struct shared* shared, int index) {
  // One of them has only the middle of it, moved to another place.
  if (index == 1) {
    char* moved = mremap(area + 16 * 4096, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, area + kPages * 4096);
    CHECK(moved == area + kPages * 4096 && munmap(area, 16 * 4096) == 0);
  }
  atomic_fetch_add(&shared->ready, 1);
  wait_at(&shared->word, 0);
  CHECK(pthread_mutex_lock(&shared->mutex) == 0);
  shared->counter += index + 1;
  CHECK(pthread_mutex_unlock(&shared->mutex) == 0);
  tree_wait_until(&shared->turn, index + 1);
  const char* page = index == 1 ? area + kPages * 4096 : area + 16 * 4096;
  CHECK(strcmp(page, "written by the first process") == 0);
  CHECK(guest_filled(area + 17 * 4096, 4096, 17));
  CHECK(strcmp(file_area, "into the file") == 0);
  char text[32];
  CHECK(pread(memory_file, text, 14, 0) == 14 && strcmp(text, "into the file") == 0);
  strcpy(area + (20 + index) * 4096, "written by a child");
  atomic_fetch_add(&shared->turn, 1);
  return 10 + index;
}

int main(void) {
  struct shared* shared = tree_page();
  pthread_mutexattr_t attributes;
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_mutex_init(&shared->mutex, &attributes) == 0);
  // Room behind it, for the part that is moved.
  area = mmap(NULL, (kPages + 1) * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(area != MAP_FAILED);
  CHECK(mmap(area, kPages * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == area);
  for (int i = 0; i < kPages; i += 2) guest_fill(area + (i + 1) * 4096, 4096, (uint64_t)i + 1);
  CHECK((memory_file = memfd_create("guest", MFD_CLOEXEC)) >= 0 && ftruncate(memory_file, 3 * 4096 + 5) == 0);
  file_area = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file, 0);
  CHECK(file_area != MAP_FAILED);
  guest_fill(file_area + 8192, 4096, 99);
  CHECK(pthread_mutex_lock(&shared->mutex) == 0);
  pid_t pids[kChildren];
  for (int i = 0; i < kChildren; i++) {
    CHECK((pids[i] = fork()) >= 0);
    if (pids[i] == 0) _exit(child(shared, i));
  }
  tree_wait_until(&shared->ready, kChildren);
  guest_sleep_ms(20);

  guest_checkpoint_here();

  atomic_store(&shared->word, 1);
  syscall(SYS_futex, &shared->word, FUTEX_WAKE, 100, NULL, NULL, 0);
  guest_sleep_ms(20);
  CHECK(shared->counter == 0);
  CHECK(pthread_mutex_unlock(&shared->mutex) == 0);
  for (int i = 0; i < 30000 && __atomic_load_n(&shared->counter, __ATOMIC_SEQ_CST) != 6; i++) guest_sleep_ms(1);
  CHECK(__atomic_load_n(&shared->counter, __ATOMIC_SEQ_CST) == 6);
  for (int i = 0; i < kPages; i += 2) {
    CHECK(guest_filled(area + (i + 1) * 4096, 4096, (uint64_t)i + 1));
    CHECK(i == 16 || guest_zero(area + i * 4096, 4096));
  }
  CHECK(lseek(memory_file, 0, SEEK_END) == 3 * 4096 + 5 && guest_filled(file_area + 8192, 4096, 99));
  strcpy(area + 16 * 4096, "written by the first process");
  strcpy(file_area, "into the file");
  atomic_store(&shared->turn, 1);
  for (int i = 0; i < kChildren; i++) {
    CHECK(tree_status_of(pids[i]) == 10 + i);
    CHECK(strcmp(area + (20 + i) * 4096, "written by a child") == 0);
  }
  return guest_pass();
}
