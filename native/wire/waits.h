// System calls that wait for a time given relative to their beginning. A restored program that is in one of them is to wait for what was
// left of that time at the checkpoint, not for all of it.
//
// The time that is left comes as the siginfo of a SIGSYS that waits in the thread's own queue (WaitInfo): it is delivered before the
// first instruction, to the runtime's handler, as if the filter had trapped the call. The handler issues the call with the shorter time.
// Calls that give their time back, as select(2), pselect6(2) and ppoll(2) do, need none of this.
#pragma once

#include <asm/unistd.h>

#include "wire/types.h"

namespace stasis::wire {

struct TimedWait {
  u32 number;
  u32 argument;       // index of the time
  bool milliseconds;  // an int of milliseconds, negative for no end; else the address of a timespec, 0 for no end
};

inline constexpr TimedWait kTimedWaits[] = {
    {__NR_nanosleep, 0, false},    {__NR_clock_nanosleep, 2, false},    {__NR_poll, 2, true},
    {__NR_epoll_wait, 3, true},    {__NR_epoll_pwait, 3, true},         {441 /* epoll_pwait2 */, 3, false},
    {__NR_futex, 3, false},        {__NR_rt_sigtimedwait, 2, false},    {__NR_semtimedop, 3, false},
    {__NR_io_getevents, 4, false}, {333 /* io_pgetevents */, 4, false},
};

constexpr const TimedWait* timed_wait(u64 number) {
  for (const TimedWait& wait : kTimedWaits) {
    if (wait.number == number) return &wait;
  }
  return nullptr;
}

// In si_errno, where a trap has the filter's data.
inline constexpr i32 kWaitData = 0x57a6;
inline constexpr i32 kWaitCode = 1;  // SYS_SECCOMP

// siginfo_t of a seccomp trap, with the time behind it. The kernel copies 48 bytes (struct kernel_siginfo).
struct WaitInfo {
  i32 signal;
  i32 error;
  i32 code;
  i32 padding;
  u64 call_address;  // behind the system call instruction
  i32 number;
  u32 architecture;
  u64 left_ns;   // of a restored thread, from when it goes on
  u64 until_ns;  // of one that was let go again: when the wait ends, on the host's monotonic clock; else 0
};
static_assert(sizeof(WaitInfo) == 48);

}  // namespace stasis::wire
