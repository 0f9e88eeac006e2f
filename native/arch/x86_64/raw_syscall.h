// The system call instruction. Every kernel call of freestanding code goes through here, so that it comes from the
// runtime's own text, which the seccomp filter lets pass (runtime/filter_program.cc). Results are the kernel's: -errno on
// failure.
#pragma once

#include <asm/unistd.h>

#include "wire/types.h"

namespace stasis {

inline i64 raw_syscall6(i64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  i64 result;
  register u64 r10 __asm__("r10") = d;
  register u64 r8 __asm__("r8") = e;
  register u64 r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

}  // namespace stasis
