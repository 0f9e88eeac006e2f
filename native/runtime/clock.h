// Virtual monotonic and boottime clocks: the host's plus an offset that is 0 until a restore. Realtime and CPU clocks are the host's.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

struct Timespec {  // struct __kernel_timespec
  i64 seconds;
  i64 nanoseconds;
};

inline constexpr i64 kNanosecondsPerSecond = 1'000'000'000;

// Virtual minus host, in nanoseconds. Takes effect at once for the vdso page and for trapped calls. Before other threads exist.
void set_clock_offsets(i64 monotonic_ns, i64 boottime_ns);

// The offset of a clock id: ids 1, 4, 6 follow the monotonic clock, 7 and 9 the boottime clock, all others have none.
i64 clock_offset(u64 clock_id);

// time + nanoseconds, saturating, result normalised.
Timespec add_to_time(Timespec time, i64 nanoseconds);

// An absolute time of the program's clock as the host's: before the host's clock began it is the earliest time that is not zero, as
// zero means "disarm" to timers. Times with an invalid nanosecond part and zero times come back unchanged.
Timespec host_time(u64 clock_id, Timespec virtual_time);

}  // namespace stasis::runtime
