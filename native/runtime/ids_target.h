// Arguments that name a process, as the kernel takes them. A number that the application does not know becomes one that
// no process can have, so that the kernel itself answers, with the error that belongs to the call and in its own order.
#pragma once

#include "runtime/ids.h"

namespace stasis::runtime {

inline constexpr i32 kNobody = wire::kPidLimit;  // pids are smaller

inline constexpr u64 kInfoPidOffset = 16;  // si_pid, and si_timerid, in siginfo_t

// The low half of a register, as the kernel reads a pid_t. 0 and negative numbers stay.
inline u64 system_argument(u64 argument, IdFor what = IdFor::Process) {
  i32 virtual_id = static_cast<i32>(argument);
  if (virtual_id <= 0) return argument;
  i64 system_id = system_of(virtual_id, what);
  return static_cast<u64>(system_id < 0 ? kNobody : system_id);
}

// The same for calls that act on the process (verified_system_of).
inline u64 verified_argument(u64 argument) {
  i32 virtual_pid = static_cast<i32>(argument);
  if (virtual_pid <= 0) return argument;
  i64 system_pid = verified_system_of(virtual_pid);
  return static_cast<u64>(system_pid < 0 ? kNobody : system_pid);
}

// As kill(2) and wait4(2) take it: > 0 a process, < -1 a group, 0 and -1 stay.
inline u64 system_target_argument(u64 argument) {
  i32 target = static_cast<i32>(argument), system_id;
  if (target == -0x7fffffff - 1) return argument;  // the group of no number
  return static_cast<u64>(
      static_cast<i64>(system_target(target, &system_id) ? system_id : (target < 0 ? -kNobody : kNobody)));
}

}  // namespace stasis::runtime
