// Event counters (eventfd(2)).
#include "restore/builders.h"

namespace stasis::restore {

Status plan_eventfds(const image::Image& image, PlanBuilder& plan) {
  for (const image::Eventfd& eventfd : image.eventfds) {
    if (eventfd.numbers.empty()) continue;
    wire::FdEntry& entry =
        plan.add_fd(wire::FdKind::Eventfd, plan.add_slot(eventfd.numbers), eventfd.numbers.front().fd);
    entry.value = eventfd.count;
    entry.option = eventfd.semaphore;
    entry.flags = eventfd.flags;
  }
  return {};
}

}  // namespace stasis::restore
