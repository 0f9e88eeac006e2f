#include "restore/plan_builder.h"

#include <algorithm>
#include <cstring>

#include "wire/layout.h"

namespace stasis::restore {

namespace {

// The runtime keeps inherited stdio, the report and the done pipe above the parked fds, and opens page files there.
constexpr std::uint64_t kRuntimeFds = 16;

}  // namespace

PlanBuilder::PlanBuilder() : bytes_(sizeof(wire::Plan)) {}

void PlanBuilder::align(std::size_t alignment) {
  bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
}

std::uint64_t PlanBuilder::add_string(std::string_view text) {
  text = text.substr(0, text.find('\0'));
  if (auto found = strings_.find(text); found != strings_.end()) return found->second;
  std::uint64_t offset = bytes_.size();
  bytes_.insert(bytes_.end(), text.begin(), text.end());
  bytes_.push_back(0);
  strings_.emplace(text, offset);
  return offset;
}

std::uint64_t PlanBuilder::add_bytes(std::span<const std::uint8_t> bytes, std::size_t alignment) {
  align(alignment);
  std::uint64_t offset = bytes_.size();
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return offset;
}

std::uint64_t PlanBuilder::add_zeros(std::uint64_t count, std::size_t alignment) {
  align(alignment);
  std::uint64_t offset = bytes_.size();
  bytes_.resize(bytes_.size() + count);
  return offset;
}

void PlanBuilder::write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  STASIS_CHECK(offset <= bytes_.size() && bytes.size() <= bytes_.size() - offset);
  std::copy(bytes.begin(), bytes.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
}

std::uint64_t PlanBuilder::address_of(std::uint64_t offset) { return wire::kPlanBase + offset; }

std::uint32_t PlanBuilder::add_file(const std::string& path, std::uint32_t open_flags, bool page_file,
                                    std::uint64_t device, std::uint64_t inode) {
  auto [place, inserted] = file_indices_.try_emplace({path, open_flags}, static_cast<std::uint32_t>(files.size()));
  if (inserted) {
    files.push_back(
        {.path = add_string(path), .open_flags = open_flags, .page_file = page_file, .device = device, .inode = inode});
  }
  return place->second;
}

void PlanBuilder::use_descriptors(const image::Descriptors& descriptors) {
  for (const image::Descriptor& number : descriptors.numbers) numbers_[{number.object, number.end}].push_back(number);
}

PlanBuilder::Place PlanBuilder::add_slot(std::uint32_t object, std::uint32_t end) {
  const auto found = numbers_.find({object, end});
  if (found == numbers_.end()) return {};
  const auto slot = static_cast<std::uint32_t>(plan.slot_count++);
  for (const image::Descriptor& number : found->second) {
    placements.push_back({.slot = slot, .fd = number.fd, .close_on_exec = number.close_on_exec, .reserved = 0});
  }
  return {slot, found->second.front().fd};
}

wire::FdEntry& PlanBuilder::add_fd(wire::FdKind kind, std::uint32_t slot, std::int32_t image_fd) {
  wire::FdEntry entry{};
  entry.kind = kind;
  entry.slot = slot;
  entry.peer_slot = wire::kNoSlot;
  entry.image_fd = static_cast<std::uint32_t>(image_fd);
  entry.file_offset = -1;
  fds.push_back(entry);
  return fds.back();
}

template <typename T>
wire::Array PlanBuilder::add_array(const std::vector<T>& entries) {
  const auto* first = reinterpret_cast<const std::uint8_t*>(entries.data());
  return {.offset = add_bytes({first, entries.size() * sizeof(T)}), .count = entries.size()};
}

std::uint32_t PlanBuilder::park_base() const {
  std::int32_t highest = 2;
  for (const wire::FdPlacement& placement : placements) highest = std::max(highest, placement.fd);
  return static_cast<std::uint32_t>(highest) + 1;
}

std::uint64_t PlanBuilder::highest_fd_needed() const {
  return park_base() + plan.slot_count + files.size() + kRuntimeFds;
}

Result<std::vector<std::uint8_t>> PlanBuilder::finish() {
  plan.magic = wire::kPlanMagic;
  if (plan.version == 0) plan.version = wire::kPlanVersion;
  plan.park_base = park_base();
  plan.files = add_array(files);
  plan.maps = add_array(maps);
  plan.image_ranges = add_array(image_ranges);
  plan.fds = add_array(fds);
  plan.placements = add_array(placements);
  plan.epoll_entries = add_array(epoll_entries);
  plan.actions = add_array(actions);
  plan.threads = add_array(threads);
  plan.signals = add_array(signals);
  plan.working_set_count = static_cast<std::uint32_t>(working_set.size());
  plan.working_set = add_array(working_set).offset;
  plan.known_ids = add_array(known_ids);
  plan.timers = add_array(timers);
  plan.scheduling = add_array(scheduling);
  align(wire::kPageBytes);
  plan.bytes = bytes_.size();
  if (bytes_.size() > wire::kPlanMaxBytes) {
    return Error::plain(ErrorKind::Unsupported, "the restore plan takes " + std::to_string(bytes_.size()) +
                                                    " bytes, more than the " + std::to_string(wire::kPlanMaxBytes) +
                                                    " that fit in the runtime's window");
  }
  std::memcpy(bytes_.data(), &plan, sizeof plan);
  return std::move(bytes_);
}

}  // namespace stasis::restore
