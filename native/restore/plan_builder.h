// Lays out the wire::Plan of one process.
//
// The files of this directory append to the public arrays. finish() fixes the header and gives the bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "restore/plan_bytes.h"
#include "wire/plan.h"

namespace stasis::restore {

class PlanBuilder {
 public:
  PlanBuilder() : bytes_(std::make_shared<PlanBytes>(sizeof(wire::Plan))) {}

  std::uint64_t add_string(std::string_view text) { return bytes_->add_string(text); }
  std::uint64_t add_bytes(std::span<const std::uint8_t> bytes, std::size_t alignment = 8) {
    return bytes_->add_bytes(bytes, alignment);
  }
  std::uint64_t add_zeros(std::uint64_t count, std::size_t alignment) { return bytes_->add_zeros(count, alignment); }
  void write(std::uint64_t offset, std::span<const std::uint8_t> bytes) { bytes_->write(offset, bytes); }
  // Where an offset of the plan will be in the process.
  static std::uint64_t address_of(std::uint64_t offset);

  // Index of a file to map, the same for the same path and access.
  std::uint32_t add_file(const std::string& path, std::uint32_t open_flags, bool page_file, std::uint64_t device,
                         std::uint64_t inode);

  // Once.
  std::vector<std::uint8_t> finish();

  const std::shared_ptr<PlanBytes>& bytes() const { return bytes_; }

  wire::Plan plan{};
  std::vector<wire::FileEntry> files;
  std::vector<wire::MapEntry> maps;
  std::vector<wire::ImageRange> image_ranges;
  std::vector<wire::FdPlacement> placements;
  std::vector<wire::EpollEntry> epoll_entries;
  std::vector<wire::SigactionEntry> actions;
  std::vector<wire::ThreadEntry> threads;
  std::vector<wire::QueuedSignal> signals;
  std::vector<wire::WorkingSetRange> working_set;
  std::vector<wire::TimerEntry> timers;
  std::vector<wire::UndoEntry> undo;
  std::vector<wire::RemovedSegment> removed_segments;
  std::vector<wire::PidfdEntry> pidfds;
  std::vector<wire::FilterEntry> filters;
  std::vector<wire::SchedulingEntry> scheduling;
  std::vector<std::string> warnings;  // what the restored application will not have as it was

 private:
  std::shared_ptr<PlanBytes> bytes_;
  std::map<std::pair<std::string, std::uint32_t>, std::uint32_t> file_indices_;
};

}  // namespace stasis::restore
