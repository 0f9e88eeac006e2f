// POSIX timers (timer_create(2)): as they were made, and what was left of them. The program's clocks go on from the
// checkpoint, so that a time that is left is right for an absolute timer too, but for those of the realtime clock, which the
// kernel does not tell apart.
#include "restore/builders.h"

namespace stasis::restore {

Status plan_timers(const image::ProcessImage& section, PlanBuilder& plan) {
  for (const image::PosixTimer& timer : section.posix_timers) {
    plan.timers.push_back({.id = timer.id,
                           .clock = timer.clock,
                           .notify = static_cast<std::uint32_t>(timer.notify),
                           .signal = timer.signal,
                           .value = timer.value,
                           .thread = timer.tid,
                           .waits = timer.waits,
                           .overruns = timer.overruns,
                           .interval_ns = timer.interval_ns,
                           .remaining_ns = timer.remaining_ns});
  }
  return {};
}

}  // namespace stasis::restore
