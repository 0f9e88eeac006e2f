// What a process is allowed and how it is scheduled, and its timers, as records. Called once for each stopped member.
#pragma once

#include <map>

#include "checkpoint/subject.h"
#include "image/image.h"
#include "os/procfs.h"
#include "tracer/threads.h"

namespace stasis::checkpoint {

// What only calls in the process tell.
struct Settings {
  std::uint32_t securebits = 0;
  std::map<pid_t, std::uint64_t> timer_slack_ns;  // by thread
};

struct TimerState {
  std::int64_t interval_ns = 0;
  std::int64_t remaining_ns = 0;  // 0: at rest
  std::uint32_t overruns = 0;     // of a signal that waits
};
using TimerStates = std::map<std::int32_t, TimerState>;  // by the kernel's id

// limits.cc: resource limits, oom score, personality and the like.
Status record_limits(const Subject& subject, image::ProcessImage& section);

// scheduling.cc: policy, niceness, affinity and io priority of each thread.
Status record_scheduling(const tracer::ProcessState& state, const Settings& settings, image::ProcessImage& section);

// credentials.cc. `status` is the main thread's.
void record_credentials(const Settings& settings, const procfs::Fields& status, image::ProcessImage& section);
// A thread that has other credentials than the main thread cannot be saved.
void refuse_credentials(const Subject& subject, const procfs::Fields& status, Findings& findings);

// posix_timers.cc. After record_signals: a queued signal of a timer belongs to the timer.
Status record_posix_timers(const Subject& subject, const TimerStates& timers, image::ProcessImage& section);

}  // namespace stasis::checkpoint
