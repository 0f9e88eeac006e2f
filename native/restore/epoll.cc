// Event polls (epoll(7)): made empty, and filled once all that they watch is there.
#include "restore/builders.h"

namespace stasis::restore {

Status plan_epolls(const image::Image& image, GroupBuilder& plan) {
  std::vector<GroupBuilder::Place> places;
  for (const image::Epoll& epoll : image.epolls) {
    const GroupBuilder::Place place = places.emplace_back(plan.add_slot(epoll.object));
    if (place.fd < 0) continue;
    plan.add_fd(wire::FdKind::Epoll, place.slot, place.fd).flags = epoll.flags;
  }
  for (std::size_t i = 0; i < image.epolls.size(); ++i) {
    if (places[i].fd < 0) continue;
    for (const image::EpollTarget& target : image.epolls[i].targets) {
      if (watched_by_owner(image, target.object)) continue;
      const std::uint32_t slot = plan.slot_of(target.object, target.end);
      if (slot == wire::kNoSlot) {
        return Error::plain(ErrorKind::Unsupported,
                            "an epoll watches what was fd " + std::to_string(target.fd) + ", which no process has")
            .with_fd(places[i].fd);
      }
      plan.watches.push_back({.watch = {.slot = places[i].slot,
                                        .target_slot = slot,
                                        .fd = target.fd,
                                        .events = target.events,
                                        .data = target.data},
                              .epoll_fd = places[i].fd});
    }
  }
  return {};
}

}  // namespace stasis::restore
