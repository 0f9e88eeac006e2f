// A program that asks for an executable stack gets one.
// flags: -z execstack
#include "guest.h"

int main(void) {
  volatile unsigned char code[] = {0xb8, 0x2a, 0, 0, 0, 0xc3};  // mov $42, %eax; ret
  int (*function)(void) = (int (*)(void))(uintptr_t)code;
  CHECK(function() == 42);
  return guest_pass();
}
