// Mappings of files that have no name any more, as a program has them whose libraries were replaced: private ones keep their
// bytes and their own changes, a shared one is still shared with the child.
// mode: checkpoint
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

enum { kPage = 4096, kPages = 40 };

static char* map_deleted(const char* name, int kind, int pages, uint64_t seed) {
  static char bytes[kPages * kPage];
  char path[512];
  guest_path(&path, name);
  unlink(path);
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  CHECK(fd >= 0);
  guest_fill(bytes, (size_t)pages * kPage, seed);
  CHECK(write(fd, bytes, (size_t)pages * kPage - 100) == pages * kPage - 100);
  char* memory = (char*)mmap(NULL, (size_t)pages * kPage, PROT_READ | PROT_WRITE, kind, fd, 0);
  CHECK(memory != MAP_FAILED && close(fd) == 0 && unlink(path) == 0);
  return memory;
}

int main(void) {
  char* own = map_deleted("own", MAP_PRIVATE, kPages, 1);
  char* code = map_deleted("code", MAP_PRIVATE, 3, 2);
  char* shared = map_deleted("shared", MAP_SHARED, 8, 3);
  guest_fill(own + 5 * kPage, kPage, 10);
  CHECK(mprotect(code, 3 * kPage, PROT_READ | PROT_EXEC) == 0);
  guest_fill(shared + 2 * kPage, kPage, 11);
  int talk[2];
  CHECK(pipe(talk) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    char word;
    close(talk[1]);
    CHECK(read(talk[0], &word, 1) == 1);
    CHECK(guest_filled(shared + 3 * kPage, kPage, 12) && guest_filled(shared + 2 * kPage, kPage, 11));
    guest_fill(shared + 4 * kPage, kPage, 13);
    _exit(0);
  }
  close(talk[0]);

  guest_checkpoint_here();

  static char expected[kPages * kPage];
  guest_fill(expected, sizeof expected, 1);
  CHECK(memcmp(own, expected, 5 * kPage) == 0 && guest_filled(own + 5 * kPage, kPage, 10));
  CHECK(memcmp(own + 6 * kPage, expected + 6 * kPage, (kPages - 6) * kPage - 100) == 0);
  CHECK(guest_zero(own + kPages * kPage - 100, 100));
  guest_fill(expected, sizeof expected, 2);
  CHECK(memcmp(code, expected, 3 * kPage - 100) == 0);
  guest_fill(shared + 3 * kPage, kPage, 12);
  CHECK(write(talk[1], "x", 1) == 1);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(guest_filled(shared + 4 * kPage, kPage, 13));
  return guest_pass();
}
