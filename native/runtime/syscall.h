// System calls of freestanding code: raw_syscall(number, arguments...) with integers and pointers mixed, missing
// arguments zero. Results are the kernel's own, -errno on failure. Constants come from the kernel's uapi headers, never
// from libc's.
#pragma once

#include <asm/unistd.h>
#include <linux/errno.h>

#include "arch/x86_64/raw_syscall.h"
#include "wire/types.h"

namespace stasis {

template <typename T>
inline u64 syscall_argument(T* pointer) {
  return reinterpret_cast<u64>(pointer);
}
inline u64 syscall_argument(decltype(nullptr)) { return 0; }
template <typename T>
  requires(!__is_class(T))
inline u64 syscall_argument(T value) {
  return static_cast<u64>(static_cast<i64>(value));
}

template <typename... Arguments>
inline i64 raw_syscall(i64 number, Arguments... arguments) {
  static_assert(sizeof...(Arguments) <= 6);
  const u64 all[7] = {syscall_argument(arguments)..., 0};
  return raw_syscall6(number, sizeof...(Arguments) > 0 ? all[0] : 0, sizeof...(Arguments) > 1 ? all[1] : 0,
                      sizeof...(Arguments) > 2 ? all[2] : 0, sizeof...(Arguments) > 3 ? all[3] : 0,
                      sizeof...(Arguments) > 4 ? all[4] : 0, sizeof...(Arguments) > 5 ? all[5] : 0);
}

// True for the -errno range. Addresses and counts are never in it.
inline bool is_error(i64 result) { return static_cast<u64>(result) > static_cast<u64>(-4096L); }

}  // namespace stasis
