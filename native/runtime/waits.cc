// The rest of a wait that was under way when its program was saved (wire/waits.h).
//
// The call is issued in the blocking window as a trapped one is, with a time of the runtime's own in the place of the program's: a
// checkpoint finds there what is left then, and for the program its arguments are what they were.
#include "wire/waits.h"

#include <linux/time.h>

#include "runtime/clock.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

constexpr u64 kNanosecondsPerMillisecond = 1'000'000;
constexpr u64 kMostMilliseconds = 0x7fffffff;

u64 left_of(const wire::WaitInfo& info) {
  if (info.until_ns == 0) return info.left_ns;
  Timespec now;
  raw_syscall(__NR_clock_gettime, CLOCK_MONOTONIC, &now);
  const u64 now_ns = static_cast<u64>(now.seconds * kNanosecondsPerSecond + now.nanoseconds);
  return now_ns < info.until_ns ? info.until_ns - now_ns : 0;
}

}  // namespace

i64 continue_wait(Trap& trap, const wire::WaitInfo& info) {
  const wire::TimedWait* wait = wire::timed_wait(trap.number);
  if (wait == nullptr) return dispatch(trap);
  const u64 left_ns = left_of(info);
  Timespec left;
  left.seconds = static_cast<i64>(left_ns / kNanosecondsPerSecond);
  left.nanoseconds = static_cast<i64>(left_ns % kNanosecondsPerSecond);
  // With 0 each of them looks once and comes back.
  if (wait->milliseconds) {
    const u64 rounded = (left_ns + kNanosecondsPerMillisecond - 1) / kNanosecondsPerMillisecond;
    trap.arguments[wait->argument] = rounded < kMostMilliseconds ? rounded : kMostMilliseconds;
  } else {
    trap.arguments[wait->argument] = reinterpret_cast<u64>(&left);
  }
  return dispatch(trap);
}

}  // namespace stasis::runtime
