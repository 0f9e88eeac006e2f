// Sleeps. With arguments BYTES and MAPPINGS it first fills that much memory, split into that many mappings that the kernel cannot merge.
// Prints "listening" when it is ready.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char** arguments) {
  size_t bytes = count > 1 ? strtoull(arguments[1], NULL, 10) : 0;
  size_t mappings = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
  size_t each = bytes / mappings / 4096 * 4096;
  for (size_t i = 0; i < mappings && each; i++) {
    // A guard page behind each mapping keeps it apart from its neighbour.
    char* area = mmap(NULL, each + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED || mprotect(area, each, PROT_READ | PROT_WRITE)) return 1;
    for (size_t at = 0; at < each; at += 64) memcpy(area + at, &(size_t){i * each + at + 1}, sizeof(size_t));
  }
  puts("listening");
  fflush(stdout);
  for (;;) pause();
}
