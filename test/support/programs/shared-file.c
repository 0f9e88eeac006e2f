// Maps a file of POSIX shared memory and says its first byte every 20 ms: shared-file ROLE NAME. `make` makes it and writes "a"; `use` only
// maps what is there; `write` makes the byte a "b" and ends; `remove` takes the name away.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void need(int condition, const char* what) {
  if (condition) return;
  perror(what);
  exit(1);
}

int main(int count, char** arguments) {
  if (count < 3) return 2;
  const char* role = arguments[1];
  const char* name = arguments[2];
  if (!strcmp(role, "remove")) return shm_unlink(name) != 0;
  int makes = !strcmp(role, "make");
  int fd = shm_open(name, makes ? O_RDWR | O_CREAT | O_EXCL : O_RDWR, 0600);
  need(fd >= 0, "shm_open");
  if (makes) need(ftruncate(fd, 3 * 4096) == 0, "ftruncate");
  volatile char* memory = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  need(memory != MAP_FAILED && close(fd) == 0, "mmap");
  if (makes) memory[0] = 'a';
  if (!strcmp(role, "write")) memory[0] = 'b';
  if (!strcmp(role, "write")) return 0;
  puts("ready");
  for (;;) {
    printf("%c\n", memory[0]);
    fflush(stdout);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
  }
}
