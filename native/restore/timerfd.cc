// Timers behind an fd (timerfd_create(2)).
//
// The program's monotonic and boottime clocks go on from the checkpoint, so what remained of a timer remains, and every
// timer is armed with a relative time, whether it was set absolutely or not. Realtime goes on outside: a timer set to
// an absolute realtime keeps that time, which is realtime at the checkpoint plus what remained, and fires at once if it
// has passed.
#include <sys/timerfd.h>

#include <ctime>

#include "restore/builders.h"

namespace stasis::restore {

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

bool is_realtime(std::uint32_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM; }

}  // namespace

Status plan_timerfds(const image::Image& image, GroupBuilder& plan) {
  for (const image::Timerfd& timerfd : image.timerfds) {
    const GroupBuilder::Place place = plan.add_slot(timerfd.object);
    if (place.fd < 0) continue;
    std::int64_t value = timerfd.remaining_ns;
    // A periodic timer that has expired shows no time until it is read (fs/timerfd.c): its next period begins now.
    if (value == 0 && timerfd.interval_ns != 0 && timerfd.ticks != 0) value = timerfd.interval_ns;
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Timerfd, place.slot, place.fd);
    entry.value = timerfd.clock_id;
    entry.flags = timerfd.flags;
    entry.ticks = timerfd.ticks;
    if (value != 0 && is_realtime(timerfd.clock_id) && (timerfd.settime_flags & TFD_TIMER_ABSTIME) != 0) {
      value += image.clock.realtime_ns;
      entry.option = timerfd.settime_flags & (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
    }
    entry.timer[0] = timerfd.interval_ns / kSecond;
    entry.timer[1] = timerfd.interval_ns % kSecond;
    entry.timer[2] = value / kSecond;
    entry.timer[3] = value % kSecond;
  }
  return {};
}

}  // namespace stasis::restore
