// A directory read halfway is read on where the program stopped; every name is seen once.
// mode: checkpoint
// build: static
#include <dirent.h>

#include "guest.h"

#define MOST 20000
static char* names[MOST];

struct entry {  // struct linux_dirent64
  uint64_t inode;
  int64_t offset;
  unsigned short bytes;
  unsigned char type;
  char name[];
};

static int compare(const void* a, const void* b) { return strcmp(*(char* const*)a, *(char* const*)b); }

// One getdents64 call's worth; returns how many names there are now.
static int take(int directory, int count, size_t room) {
  char buffer[32768];
  long bytes = syscall(SYS_getdents64, directory, buffer, room);
  CHECK(bytes >= 0);
  for (long at = 0; at < bytes;) {
    struct entry* e = (struct entry*)(buffer + at);
    CHECK(count < MOST && (names[count++] = strdup(e->name)));
    at += e->bytes;
  }
  return bytes == 0 ? -count : count;
}

int main(void) {
  // A directory that nobody puts back in between: positions are good for the very directory only.
  int half = open("/usr/bin", O_RDONLY | O_DIRECTORY), count = 0, done = 0;
  CHECK(half >= 0);
  count = take(half, count, 2000);
  count = take(half, count, 2000);
  int before = count;
  CHECK(before > 10);

  guest_checkpoint_here();

  while (done >= 0) {
    done = take(half, count, 32768);
    count = done < 0 ? -done : done;
  }
  CHECK(count > before);
  qsort(names, (size_t)count, sizeof *names, compare);
  DIR* whole = opendir("/usr/bin");
  int all = 0;
  for (struct dirent* e; (e = readdir(whole)); all++) {
    char* name = e->d_name;
    CHECK(bsearch(&name, names, (size_t)count, sizeof *names, compare));
  }
  CHECK(all == count);
  return guest_pass();
}
