// Code made by the program itself: pages that were executable at the checkpoint still run, pages that were written can
// be made executable afterwards, and back again. mode: checkpoint build: static
#include <sys/mman.h>

#include "guest.h"

enum { kPage = 4096, kFunctions = 64 };

typedef int (*function)(void);

// mov $value, %eax; ret
static void emit(unsigned char* code, int value) {
  code[0] = 0xb8;
  memcpy(code + 1, &value, sizeof value);
  code[5] = 0xc3;
}

static int call(unsigned char* code) {
  function f;
  memcpy(&f, &code, sizeof f);
  return f();
}

int main(void) {
  size_t bytes = kFunctions * kPage;
  unsigned char* ready = (unsigned char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  unsigned char* later = (unsigned char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(ready != MAP_FAILED && later != MAP_FAILED);
  for (int i = 0; i < kFunctions; i += 2) {  // every other page stays untouched
    emit(ready + i * kPage, 1000 + i);
    emit(later + i * kPage, 2000 + i);
  }
  CHECK(mprotect(ready, bytes, PROT_READ | PROT_EXEC) == 0);
  CHECK(call(ready) == 1000);

  guest_checkpoint_here();

  for (int i = 0; i < kFunctions; i += 2) CHECK(call(ready + i * kPage) == 1000 + i);
  for (int round = 0; round < 3; round++) {
    CHECK(mprotect(later, bytes, PROT_READ | PROT_EXEC) == 0);
    for (int i = 0; i < kFunctions; i += 2) CHECK(call(later + i * kPage) == 2000 + i + round);
    CHECK(mprotect(later, bytes, PROT_READ | PROT_WRITE) == 0);
    for (int i = 0; i < kFunctions; i += 2) emit(later + i * kPage, 2000 + i + round + 1);
  }
  CHECK(mprotect(ready, kPage, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
  emit(ready, 7);
  CHECK(call(ready) == 7);
  return guest_pass();
}
