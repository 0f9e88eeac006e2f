// Lays out a wire::Plan: strings and blobs behind the header as they come, arrays behind them at the end.
//
// The files of this directory append to the public arrays; offsets that add_* return stay valid. finish() chooses the
// first parked fd number, which lies above every placed one, fixes the header and gives the bytes.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/image.h"
#include "wire/plan.h"

namespace stasis::restore {

class PlanBuilder {
 public:
  PlanBuilder();

  // Offset of the NUL-terminated string; equal strings share one. Stops at an embedded NUL, which no path of a valid
  // image has.
  std::uint64_t add_string(std::string_view text);
  // Offset of a copy of the bytes.
  std::uint64_t add_bytes(std::span<const std::uint8_t> bytes, std::size_t alignment = 8);
  // Offset of `count` zero bytes.
  std::uint64_t add_zeros(std::uint64_t count, std::size_t alignment);
  // Writes into what add_* returned.
  void write(std::uint64_t offset, std::span<const std::uint8_t> bytes);
  // Where an offset of the plan will be in the process.
  static std::uint64_t address_of(std::uint64_t offset);

  // Index of a file to map, the same for the same path and access.
  std::uint32_t add_file(const std::string& path, std::uint32_t open_flags, bool page_file, std::uint64_t device,
                         std::uint64_t inode);

  // What is known of one end of an object: the lowest number that stands for it, -1 if none does.
  struct Place {
    std::uint32_t slot = wire::kNoSlot;
    std::int32_t fd = -1;
  };
  // Before any object: where the process has which.
  void use_descriptors(const image::Descriptors& descriptors);
  // A parked place for one end of an object, and the numbers it is duplicated to. No slot when nothing stands for it: that
  // end is closed.
  Place add_slot(std::uint32_t object, std::uint32_t end = 0);
  // An entry with everything but kind and slot at its neutral value, appended to fds. Valid until the next one.
  wire::FdEntry& add_fd(wire::FdKind kind, std::uint32_t slot, std::int32_t image_fd);

  // Unsupported if the plan is larger than its place in the window.
  Result<std::vector<std::uint8_t>> finish();

  // Numbers that the restore needs to be able to use: everything placed, parked, and the runtime's own while it works.
  std::uint64_t highest_fd_needed() const;

  wire::Plan plan{};
  std::vector<wire::FileEntry> files;
  std::vector<wire::MapEntry> maps;
  std::vector<wire::ImageRange> image_ranges;
  std::vector<wire::FdEntry> fds;
  std::vector<wire::FdPlacement> placements;
  std::vector<wire::EpollEntry> epoll_entries;
  std::vector<wire::SigactionEntry> actions;
  std::vector<wire::ThreadEntry> threads;
  std::vector<wire::QueuedSignal> signals;
  std::vector<wire::WorkingSetRange> working_set;
  std::vector<std::uint32_t> known_ids;
  std::vector<wire::TimerEntry> timers;
  std::vector<wire::SchedulingEntry> scheduling;
  std::vector<std::string> warnings;  // what the restored application will not have as it was

 private:
  void align(std::size_t alignment);
  template <typename T>
  wire::Array add_array(const std::vector<T>& entries);
  std::uint32_t park_base() const;

  std::vector<std::uint8_t> bytes_;
  std::map<std::string, std::uint64_t, std::less<>> strings_;
  std::map<std::pair<std::string, std::uint32_t>, std::uint32_t> file_indices_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<image::Descriptor>> numbers_;  // by object and end
};

}  // namespace stasis::restore
