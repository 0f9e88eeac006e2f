#include "restore/group_plan.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "wire/layout.h"

namespace stasis::restore {

namespace {

// The runtime keeps inherited stdio, the report and the done pipe above the parked fds, and opens page files there.
constexpr std::uint64_t kRuntimeFds = 16;

Status check_size(std::uint64_t bytes) {
  if (bytes <= wire::kPlanMaxBytes) return {};
  return Error::plain(ErrorKind::Unsupported, "the restore plan takes " + std::to_string(bytes) +
                                                  " bytes, more than the " + std::to_string(wire::kPlanMaxBytes) +
                                                  " that fit in the runtime's window");
}

// Above every number of the program, and above those at which files to map are opened.
std::uint32_t park_base(const GroupBuilder& group, const std::vector<PlanBuilder>& plans) {
  std::int32_t highest = 2;
  for (const PlannedWatch& planned : group.watches) highest = std::max(highest, planned.watch.fd);
  std::size_t files = group.files.size();
  for (const PlanBuilder& plan : plans) {
    for (const wire::FdPlacement& placement : plan.placements) highest = std::max(highest, placement.fd);
    for (const wire::PidfdEntry& pidfd : plan.pidfds) highest = std::max(highest, pidfd.fd);
    files = std::max(files, plan.files.size());
  }
  return std::max(static_cast<std::uint32_t>(highest) + 1, static_cast<std::uint32_t>(files));
}

}  // namespace

void GroupBuilder::use_descriptors(const image::Descriptors& descriptors) {
  for (const image::Descriptor& number : descriptors.numbers)
    numbers_.try_emplace({number.object, number.end}, number.fd);
}

GroupBuilder::Place GroupBuilder::add_slot(std::uint32_t object, std::uint32_t end) {
  return is_held(object, end) ? add_parked(object, end) : Place{};
}

GroupBuilder::Place GroupBuilder::add_parked(std::uint32_t object, std::uint32_t end) {
  const auto found = numbers_.find({object, end});
  const std::uint32_t slot = group.slot_count++;
  slots_[{object, end}] = slot;
  return {slot, found == numbers_.end() ? -1 : found->second};
}

std::uint32_t GroupBuilder::add_own_slot(std::uint32_t object) {
  const std::uint32_t slot = group.slot_count++;
  slots_[{object, 0}] = slot;
  return slot;
}

std::uint32_t GroupBuilder::slot_of(std::uint32_t object, std::uint32_t end) const {
  const auto found = slots_.find({object, end});
  return found == slots_.end() ? wire::kNoSlot : found->second;
}

wire::FdEntry& GroupBuilder::add_fd(wire::FdKind kind, std::uint32_t slot, std::int32_t image_fd) {
  wire::FdEntry entry{};
  entry.kind = kind;
  entry.slot = slot;
  entry.peer_slot = wire::kNoSlot;
  entry.image_fd = static_cast<std::uint32_t>(image_fd);
  entry.file_offset = -1;
  fds.push_back(entry);
  return fds.back();
}

std::uint32_t GroupBuilder::add_file(const std::string& path, std::uint64_t device, std::uint64_t inode) {
  const std::uint64_t name = add_string(path);
  for (std::uint32_t i = 0; i < files.size(); ++i) {
    if (files[i].path == name) return i;
  }
  files.push_back({.path = name, .open_flags = O_RDONLY, .page_file = 1, .device = device, .inode = inode});
  return static_cast<std::uint32_t>(files.size() - 1);
}

void place_descriptors(const image::Descriptors& descriptors, const GroupBuilder& group, PlanBuilder& plan) {
  for (const image::Descriptor& number : descriptors.numbers) {
    const std::uint32_t slot = group.slot_of(number.object, number.end);
    if (slot == wire::kNoSlot) continue;
    plan.placements.push_back({.slot = slot, .fd = number.fd, .close_on_exec = number.close_on_exec, .kind = 0});
  }
}

std::uint64_t highest_fd_needed(const GroupBuilder& group, const std::vector<PlanBuilder>& plans) {
  return park_base(group, plans) + group.group.slot_count + kRuntimeFds;
}

Result<std::vector<std::uint8_t>> finish_plans(GroupBuilder& group, std::vector<PlanBuilder>& plans) {
  wire::GroupPlan& header = group.group;
  header.magic = wire::kPlanMagic;
  header.version = wire::kPlanVersion;
  header.park_base = park_base(group, plans);
  std::vector<wire::EpollWatch> watches;
  for (const PlannedWatch& planned : group.watches) watches.push_back(planned.watch);
  PlanBytes& bytes = group.bytes();
  header.fds = bytes.add_array(group.fds);
  header.epoll_watches = bytes.add_array(watches);
  header.segments = bytes.add_array(group.segments);
  header.system_v = bytes.add_array(group.system_v);
  header.files = bytes.add_array(group.files);
  header.known_ids = bytes.add_array(group.known_ids);
  header.tasks = {.offset = bytes.add_zeros(group.tasks.size() * sizeof(wire::TaskEntry), 8),
                  .count = group.tasks.size()};
  bytes.align(wire::kPageBytes);
  header.group_bytes = header.bytes = bytes.size();
  STASIS_TRY(check_size(header.group_bytes));
  std::vector<std::vector<std::uint8_t>> parts;
  std::vector<wire::TaskEntry> tasks;
  for (const PlannedTask& planned : group.tasks) {
    wire::TaskEntry& task = tasks.emplace_back(planned.entry);
    if (task.kind != wire::TaskKind::Process) continue;
    parts.push_back(plans[planned.process].finish());
    STASIS_TRY(check_size(parts.back().size()));
    header.process_count++;
    task.plan = header.bytes;
    task.plan_bytes = parts.back().size();
    header.bytes += task.plan_bytes;
  }
  bytes.write(header.tasks.offset,
              {reinterpret_cast<const std::uint8_t*>(tasks.data()), tasks.size() * sizeof(wire::TaskEntry)});
  bytes.write(0, {reinterpret_cast<const std::uint8_t*>(&header), sizeof header});
  std::vector<std::uint8_t> file = bytes.take();
  file.reserve(header.bytes);
  for (const std::vector<std::uint8_t>& part : parts) file.insert(file.end(), part.begin(), part.end());
  return file;
}

Result<std::vector<std::uint8_t>> finish_single(GroupBuilder& group, PlanBuilder& plan) {
  wire::Plan& header = plan.plan;
  PlanBytes& bytes = group.bytes();
  std::int32_t highest = 2;
  for (const wire::FdPlacement& placement : plan.placements) highest = std::max(highest, placement.fd);
  header.park_base = static_cast<std::uint32_t>(highest) + 1;
  header.slot_count = group.group.slot_count;
  header.parked_fd = group.group.parked_fd;
  header.runtime_path = group.group.runtime_path;
  header.monotonic_ns = group.group.monotonic_ns;
  header.boottime_ns = group.group.boottime_ns;
  header.fds = bytes.add_array(group.fds);
  header.known_ids = bytes.add_array(group.known_ids);
  for (const PlannedWatch& planned : group.watches) {
    plan.epoll_entries.push_back({.epoll_fd = planned.epoll_fd,
                                  .target_fd = planned.watch.fd,
                                  .events = planned.watch.events,
                                  .reserved = 0,
                                  .data = planned.watch.data});
  }
  std::vector<std::uint8_t> file = plan.finish();
  STASIS_TRY(check_size(file.size()));
  return file;
}

}  // namespace stasis::restore
