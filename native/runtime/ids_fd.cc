// The descriptor of the table lies in every process of the application at one number, which to the program is a number
// that is not in use (wire/ids.h, parked_fd). The filter knows the number, so the descriptor cannot give way: a dup2 onto
// it answers EBADF, as for numbers above the limit. EBUSY, which dup2(2) has for numbers that are being taken at the same
// moment, would have musl try again for ever.
#include <linux/fcntl.h>

#include "runtime/ids.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

bool is_parked(u64 fd) { return static_cast<i32>(fd) == parked_fd(); }

i64 dup_onto_parked(const Trap& trap) {
  if (is_parked(trap.arguments[0])) return trap.number == __NR_dup3 ? -EINVAL : -EBADF;
  if (trap.number == __NR_dup3 && (trap.arguments[2] & ~static_cast<u64>(O_CLOEXEC)) != 0) return -EINVAL;
  return -EBADF;
}

// The range in two halves. One of them may be empty, but the kernel still has to judge and apply the flags once.
i64 close_range_around(const Trap& trap) {
  const u32 first = static_cast<u32>(trap.arguments[0]), last = static_cast<u32>(trap.arguments[1]);
  const u32 parked = static_cast<u32>(parked_fd());
  const u64 flags = trap.arguments[2];
  i64 result = 0;
  if (first < parked) result = raw_syscall(__NR_close_range, first, parked - 1, flags);
  if (result < 0) return result;
  constexpr u32 kNoFd = ~0u;  // above every number there can be
  const u32 from = last > parked ? parked + 1 : kNoFd;
  return raw_syscall(__NR_close_range, from, last > parked ? last : kNoFd, flags);
}

}  // namespace

i64 trapped_fd_call(Trap& trap) {
  switch (trap.number) {
    case __NR_dup2:
    case __NR_dup3:
      return dup_onto_parked(trap);
    case __NR_close_range:
      return close_range_around(trap);
    default:  // close, fcntl, fstat, dup
      return -EBADF;
  }
}

}  // namespace stasis::runtime
