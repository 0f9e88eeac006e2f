// signalfds, pidfds and the program's own seccomp filters. What a signalfd is ready for is told to the process that adds it to an
// epoll (fs/signalfd.c), and a pidfd is made once its process is there: registrations of both are made by a process that has
// the epoll and the file.
#include <algorithm>

#include "restore/builders.h"

namespace stasis::restore {

namespace {

constexpr std::size_t kInstructionBytes = 8;  // struct sock_filter

bool is_own(const image::Image& image, std::uint32_t object) {
  const auto is_it = [object](const auto& record) { return record.object == object; };
  return std::any_of(image.signalfds.begin(), image.signalfds.end(), is_it) ||
         std::any_of(image.pidfds.begin(), image.pidfds.end(), is_it);
}

// A number of the object in the process, the wished one if that is among them; -1 if it has none.
std::int32_t number_of(const image::ProcessImage& section, std::uint32_t object, std::int32_t wished) {
  std::int32_t found = -1;
  for (const image::Descriptor& descriptor : section.descriptors.numbers) {
    if (descriptor.object != object) continue;
    if (descriptor.fd == wished || found < 0) found = descriptor.fd;
  }
  return found;
}

}  // namespace

Status plan_signalfds(const image::Image& image, GroupBuilder& plan) {
  for (const image::Signalfd& signalfd : image.signalfds) {
    const GroupBuilder::Place place = plan.add_slot(signalfd.object);
    if (place.fd < 0) continue;
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Signalfd, place.slot, place.fd);
    entry.value = signalfd.mask;
    entry.flags = signalfd.flags;
  }
  return {};
}

bool watched_by_owner(const image::Image& image, std::uint32_t object) { return is_own(image, object); }

Status plan_own_events(const image::Image& image, const image::ProcessImage& section, PlanBuilder& plan) {
  for (wire::FdPlacement& placement : plan.placements) {
    for (const image::Descriptor& descriptor : section.descriptors.numbers) {
      const bool is_signalfd =
          std::any_of(image.signalfds.begin(), image.signalfds.end(),
                      [&](const image::Signalfd& record) { return record.object == descriptor.object; });
      if (descriptor.fd == placement.fd && is_signalfd) placement.kind = wire::kPlacedSignalfd;
    }
  }
  for (const image::Descriptor& descriptor : section.descriptors.numbers) {
    for (const image::Pidfd& pidfd : image.pidfds) {
      if (pidfd.object != descriptor.object) continue;
      plan.pidfds.push_back(
          {.fd = descriptor.fd, .close_on_exec = descriptor.close_on_exec, .pid = pidfd.pid, .flags = pidfd.flags});
    }
  }
  for (const image::Epoll& epoll : image.epolls) {
    for (const image::EpollTarget& target : epoll.targets) {
      if (!is_own(image, target.object)) continue;
      // The first process that has both.
      const auto owner =
          std::find_if(image.processes.begin(), image.processes.end(), [&](const image::ProcessImage& one) {
            return number_of(one, epoll.object, -1) >= 0 && number_of(one, target.object, target.fd) >= 0;
          });
      if (owner == image.processes.end()) {
        return Error::plain(ErrorKind::Unsupported, "an epoll watches what was fd " + std::to_string(target.fd) +
                                                        ", which no process has together with it");
      }
      if (&*owner != &section) continue;
      plan.epoll_entries.push_back({.epoll_fd = number_of(section, epoll.object, -1),
                                    .target_fd = number_of(section, target.object, target.fd),
                                    .events = target.events,
                                    .reserved = 0,
                                    .data = target.data});
    }
  }
  for (const image::OwnFilter& filter : section.own_filters) {
    plan.filters.push_back({.flags = filter.flags,
                            .length = static_cast<std::uint32_t>(filter.program.size() / kInstructionBytes),
                            .program = plan.add_bytes(filter.program, kInstructionBytes)});
  }
  return {};
}

}  // namespace stasis::restore
