#include "restore/plan_builder.h"

#include "wire/layout.h"

namespace stasis::restore {

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

std::vector<std::uint8_t> PlanBuilder::finish() {
  plan.magic = wire::kPlanMagic;
  if (plan.version == 0) plan.version = wire::kPlanVersion;
  plan.files = bytes_->add_array(files);
  plan.maps = bytes_->add_array(maps);
  plan.image_ranges = bytes_->add_array(image_ranges);
  plan.placements = bytes_->add_array(placements);
  plan.epoll_entries = bytes_->add_array(epoll_entries);
  plan.actions = bytes_->add_array(actions);
  plan.threads = bytes_->add_array(threads);
  plan.signals = bytes_->add_array(signals);
  plan.working_set_count = static_cast<std::uint32_t>(working_set.size());
  plan.working_set = bytes_->add_array(working_set).offset;
  plan.timers = bytes_->add_array(timers);
  plan.scheduling = bytes_->add_array(scheduling);
  plan.undo = bytes_->add_array(undo);
  plan.removed_segments = bytes_->add_array(removed_segments);
  plan.pidfds = bytes_->add_array(pidfds);
  plan.filters = bytes_->add_array(filters);
  bytes_->align(wire::kPageBytes);
  plan.bytes = bytes_->size();
  bytes_->write(0, {reinterpret_cast<const std::uint8_t*>(&plan), sizeof plan});
  return bytes_->take();
}

}  // namespace stasis::restore
