#include "runtime/clock.h"

#include <linux/time.h>

#include "runtime/state.h"

namespace stasis::runtime {

void set_clock_offsets(i64 monotonic_ns, i64 boottime_ns) {
  g_state.monotonic_offset_ns = monotonic_ns;
  g_state.boottime_offset_ns = boottime_ns;
}

i64 clock_offset(u64 clock_id) {
  switch (clock_id) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
      return __atomic_load_n(&g_state.monotonic_offset_ns, __ATOMIC_RELAXED);
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
      return __atomic_load_n(&g_state.boottime_offset_ns, __ATOMIC_RELAXED);
    default:
      return 0;
  }
}

Timespec add_to_time(Timespec time, i64 nanoseconds) {
  constexpr i64 kMostSeconds = 0x7fff'ffff'ffff'ffff;
  i64 seconds = nanoseconds / kNanosecondsPerSecond;
  time.nanoseconds += nanoseconds % kNanosecondsPerSecond;
  if (time.nanoseconds >= kNanosecondsPerSecond) {
    time.nanoseconds -= kNanosecondsPerSecond;
    seconds++;
  } else if (time.nanoseconds < 0) {
    time.nanoseconds += kNanosecondsPerSecond;
    seconds--;
  }
  if (__builtin_add_overflow(time.seconds, seconds, &time.seconds)) {
    time.seconds = seconds > 0 ? kMostSeconds : -kMostSeconds;
  }
  return time;
}

Timespec host_time(u64 clock_id, Timespec virtual_time) {
  const i64 offset = clock_offset(clock_id);
  const bool valid =
      virtual_time.seconds >= 0 && virtual_time.nanoseconds >= 0 && virtual_time.nanoseconds < kNanosecondsPerSecond;
  const bool zero = virtual_time.seconds == 0 && virtual_time.nanoseconds == 0;
  if (offset == 0 || !valid || zero) return virtual_time;
  const Timespec host = add_to_time(virtual_time, -offset);
  if (host.seconds < 0 || (host.seconds == 0 && host.nanoseconds == 0)) return {0, 1};
  return host;
}

}  // namespace stasis::runtime
