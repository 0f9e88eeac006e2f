// Mappings of files: a private one keeps the pages written to it, untouched pages stay the file's; a shared one goes on writing the file.
// mode: checkpoint
#include <sys/mman.h>

#include "guest.h"

enum { kPage = 4096, kPages = 32 };

int main(void) {
  char buffer[512], bytes[kPages * kPage];
  guest_fill(bytes, sizeof bytes, 1);
  int fd = open(guest_path(&buffer, "mapped"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
  char* own = (char*)mmap(NULL, sizeof bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  char* tail = (char*)mmap(NULL, 4 * kPage, PROT_READ, MAP_PRIVATE, fd, 8 * kPage);
  char* shared = (char*)mmap(NULL, sizeof bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(own != MAP_FAILED && tail != MAP_FAILED && shared != MAP_FAILED);
  for (int page = 0; page < kPages; page += 4) memset(own + page * kPage, page + 1, 100);
  shared[3 * kPage] = 77;
  CHECK(close(fd) == 0);

  guest_checkpoint_here();

  for (int page = 0; page < kPages; page += 4) {
    for (int i = 0; i < 100; i++) CHECK(own[page * kPage + i] == page + 1);
    CHECK(memcmp(own + page * kPage + 100, bytes + page * kPage + 100, kPage - 100) == 0);
    CHECK(memcmp(own + (page + 1) * kPage, bytes + (page + 1) * kPage, kPage) == 0);
  }
  CHECK(memcmp(tail, bytes + 8 * kPage, 4 * kPage) == 0);
  CHECK(shared[3 * kPage] == 77);
  shared[5 * kPage] = 78;
  fd = open(guest_path(&buffer, "mapped"), O_RDONLY);
  char byte;
  CHECK(pread(fd, &byte, 1, 5 * kPage) == 1 && byte == 78);
  CHECK(own[5 * kPage + 200] == bytes[5 * kPage + 200]);
  CHECK(madvise(own, sizeof bytes, MADV_DONTNEED) == 0);  // for a file mapping this brings the file's own bytes back
  CHECK(own[0] == bytes[0] && own[4 * kPage] == bytes[4 * kPage]);
  return guest_pass();
}
