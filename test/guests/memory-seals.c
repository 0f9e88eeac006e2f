// A memory file of two processes that is sealed against writing by new ways (F_SEAL_FUTURE_WRITE): the mappings of before still write.
// mode: checkpoint
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

#define BYTES (8 * 4096)
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

static void* map(int fd, int protection) { return mmap(NULL, BYTES, protection, MAP_SHARED, fd, 0); }

int main(void) {
  const int seals = F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  int fd = memfd_create("sealed later", MFD_ALLOW_SEALING), up[2];
  CHECK(fd >= 0 && ftruncate(fd, BYTES) == 0 && pipe(up) == 0);
  char* memory = map(fd, PROT_READ | PROT_WRITE);
  CHECK(memory != MAP_FAILED);
  guest_fill(memory, BYTES / 2, 3);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    char byte;
    char* own = map(fd, PROT_READ | PROT_WRITE);
    CHECK(own != MAP_FAILED);
    memory[BYTES - 1] = 'm';
    CHECK(read(up[0], &byte, 1) == 1);
    own[BYTES - 2] = 'c';
    CHECK(map(fd, PROT_READ | PROT_WRITE) == MAP_FAILED && errno == EPERM);
    _exit(0);
  }
  while (*(volatile char*)&memory[BYTES - 1] != 'm') guest_sleep_ms(1);
  CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);

  guest_checkpoint_here();

  CHECK(fcntl(fd, F_GET_SEALS) == seals && guest_filled(memory, BYTES / 2, 3));
  CHECK(write(up[1], "g", 1) == 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0 && memory[BYTES - 2] == 'c');
  memory[5] = 'x';
  const char* view = map(fd, PROT_READ);
  CHECK(view != MAP_FAILED && view[5] == 'x');
  CHECK(map(fd, PROT_READ | PROT_WRITE) == MAP_FAILED && errno == EPERM);
  CHECK(pwrite(fd, "y", 1, 5) == -1 && errno == EPERM && ftruncate(fd, 0) == -1);
  return guest_pass();
}
