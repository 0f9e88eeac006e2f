// inotify instances: what they watch must be there.
#include <sys/stat.h>

#include "restore/builders.h"

namespace stasis::restore {

Status plan_inotifies(const image::Image& image, GroupBuilder& plan) {
  for (const image::Inotify& inotify : image.inotifies) {
    const GroupBuilder::Place place = plan.add_slot(inotify.object);
    if (place.fd < 0) continue;
    std::vector<wire::WatchEntry> watches;
    for (const image::Watch& watch : inotify.watches) {
      struct stat now;
      if (::lstat(watch.path.c_str(), &now) != 0) {
        return Error::of_errno("stat", "looking for what the application watches (inotify)")
            .with_kind(ErrorKind::Failed)
            .with_fd(place.fd)
            .with_path(watch.path)
            .with_remedy("put it back, or start the application anew");
      }
      const std::uint64_t path = plan.add_string(watch.path);
      watches.push_back({.path = path, .number = static_cast<std::uint32_t>(watch.number), .mask = watch.mask});
    }
    wire::FdDetail detail{};
    detail.watches = plan.bytes().add_array(watches);
    const std::uint64_t value = plan.add_bytes({reinterpret_cast<const std::uint8_t*>(&detail), sizeof detail});
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Inotify, place.slot, place.fd);
    entry.value = value;
    entry.flags = inotify.flags;
  }
  return {};
}

}  // namespace stasis::restore
