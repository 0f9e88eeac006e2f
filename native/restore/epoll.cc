// Event polls (epoll(7)): made empty, and filled by number once every fd stands in its place.
#include <algorithm>

#include "restore/builders.h"

namespace stasis::restore {

Status plan_epolls(const image::Image& image, const image::ProcessImage& section, PlanBuilder& plan) {
  for (const image::Epoll& epoll : image.epolls) {
    const PlanBuilder::Place place = plan.add_slot(epoll.object);
    if (place.fd < 0) continue;
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Epoll, place.slot, place.fd);
    entry.flags = epoll.flags;
    for (const image::EpollTarget& target : epoll.targets) {
      const auto& numbers = section.descriptors.numbers;
      const bool there = std::any_of(numbers.begin(), numbers.end(), [&](const image::Descriptor& number) {
        return number.fd == target.fd && number.object == target.object && number.end == target.end;
      });
      if (!there) {
        return Error::plain(ErrorKind::Unsupported, "an epoll watches what was fd " + std::to_string(target.fd) +
                                                        " at first, and is not any more")
            .with_fd(place.fd);
      }
      plan.epoll_entries.push_back(
          {.epoll_fd = place.fd, .target_fd = target.fd, .events = target.events, .reserved = 0, .data = target.data});
    }
  }
  return {};
}

}  // namespace stasis::restore
