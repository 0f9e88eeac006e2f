// Event polls (epoll(7)): made empty, and filled by number once every fd stands in its place.
#include <set>

#include "restore/builders.h"

namespace stasis::restore {

Status plan_epolls(const image::Image& image, PlanBuilder& plan) {
  std::set<std::int32_t> placed;
  for (const wire::FdPlacement& placement : plan.placements) placed.insert(placement.fd);
  for (const image::Epoll& epoll : image.epolls) {
    for (const image::FdNumber& number : epoll.numbers) placed.insert(number.fd);
  }
  for (const image::Epoll& epoll : image.epolls) {
    if (epoll.numbers.empty()) continue;
    const std::int32_t fd = epoll.numbers.front().fd;
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Epoll, plan.add_slot(epoll.numbers), fd);
    entry.flags = epoll.flags;
    for (const image::EpollTarget& target : epoll.targets) {
      if (!placed.contains(target.fd)) {
        return Error::plain(ErrorKind::Damaged,
                            "an epoll watches fd " + std::to_string(target.fd) + ", which the image does not have")
            .with_fd(fd);
      }
      plan.epoll_entries.push_back(
          {.epoll_fd = fd, .target_fd = target.fd, .events = target.events, .reserved = 0, .data = target.data});
    }
  }
  return {};
}

}  // namespace stasis::restore
