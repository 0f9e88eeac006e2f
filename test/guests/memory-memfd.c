// Memory files (memfd_create): mapped by two processes and open in one, with seals, a hole and an offset.
// mode: checkpoint
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

enum { kPage = 4096, kBytes = 64 * kPage + 100 };

int main(void) {
  int fd = memfd_create("first file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(fd >= 0 && ftruncate(fd, kBytes) == 0);
  char* shared = (char*)mmap(NULL, 64 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char* copy = (char*)mmap(NULL, 8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 8 * kPage);
  CHECK(shared != MAP_FAILED && copy != MAP_FAILED);
  guest_fill(shared + 8 * kPage, 4 * kPage, 1);
  guest_fill(copy + kPage, kPage, 2);  // its own now
  CHECK(pwrite(fd, "at the end", 10, kBytes - 10) == 10);
  CHECK(lseek(fd, 8 * kPage, SEEK_SET) == 8 * kPage);
  CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);

  int sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(sealed >= 0 && write(sealed, "never again", 11) == 11);
  CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK) == 0);
  int dropped = memfd_create("mapped only", MFD_CLOEXEC);
  CHECK(dropped >= 0 && ftruncate(dropped, 4 * kPage) == 0);
  char* only = (char*)mmap(NULL, 4 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, dropped, 0);
  CHECK(only != MAP_FAILED && close(dropped) == 0);
  guest_fill(only + kPage, kPage, 5);

  int talk[2];
  CHECK(pipe(talk) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    char word;
    close(talk[1]);
    CHECK(read(talk[0], &word, 1) == 1);
    CHECK(guest_filled(shared + 20 * kPage, kPage, 7) && guest_filled(only + kPage, kPage, 5));
    guest_fill(shared + 30 * kPage, kPage, 8);
    _exit(0);
  }
  close(talk[0]);

  guest_checkpoint_here();

  CHECK(guest_filled(shared + 8 * kPage, 4 * kPage, 1) && guest_zero(shared, kPage));
  CHECK(guest_filled(copy + kPage, kPage, 2) && memcmp(copy, shared + 8 * kPage, kPage) == 0);
  CHECK(fcntl(fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  CHECK(ftruncate(fd, kPage) == -1 && errno == EPERM);
  char text[16] = "";
  CHECK(pread(fd, text, 16, kBytes - 10) == 10 && memcmp(text, "at the end", 10) == 0);
  CHECK(lseek(fd, 0, SEEK_CUR) == 8 * kPage);
  CHECK(read(fd, text, 16) == 16 && memcmp(text, shared + 8 * kPage, 16) == 0);
  CHECK(fcntl(sealed, F_GET_SEALS) == (F_SEAL_WRITE | F_SEAL_SHRINK));
  CHECK(pread(sealed, text, 16, 0) == 11 && memcmp(text, "never again", 11) == 0);
  CHECK(pwrite(sealed, "x", 1, 0) == -1 && errno == EPERM);
  guest_fill(shared + 20 * kPage, kPage, 7);
  CHECK(write(talk[1], "x", 1) == 1);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(guest_filled(shared + 30 * kPage, kPage, 8) && guest_filled(only + kPage, kPage, 5));
  return guest_pass();
}
