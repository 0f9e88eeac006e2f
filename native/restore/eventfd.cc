// Event counters (eventfd(2)).
#include "restore/builders.h"

namespace stasis::restore {

Status plan_eventfds(const image::Image& image, GroupBuilder& plan) {
  for (const image::Eventfd& eventfd : image.eventfds) {
    const GroupBuilder::Place place = plan.add_slot(eventfd.object);
    if (place.fd < 0) continue;
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Eventfd, place.slot, place.fd);
    entry.value = eventfd.count;
    entry.option = eventfd.semaphore;
    entry.flags = eventfd.flags;
  }
  return {};
}

}  // namespace stasis::restore
