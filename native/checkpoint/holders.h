// Copies of the application's processes (tracer/holder.h) from which its pages are read while it runs on again, and what
// they cannot hold still:
//
//   memory marked MADV_DONTFORK     the kernel leaves it out of a copy: the mark is taken off for the moment of the copy
//                                   (V8 marks its whole heap)
//   memory marked MADV_WIPEONFORK   the copy has it as zeros: read before the release
//   shared memory                   is not copied by a fork: read before the release (shared_memory.h)
//
// The marks stand in smaps, which takes milliseconds to read, so they are those of the look for every mapping that is what
// it was then. Of one that is new, the copy itself tells: if it lacks the mapping, that was marked, and another is made.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/deadline.h"
#include "checkpoint/pages.h"
#include "checkpoint/tree.h"
#include "tracer/holder.h"

namespace stasis::checkpoint {

// The pages of one process at the instant.
class HeldPages : public PageSource {
 public:
  // For all members: held, at home stops. `lines`: the maps of each now. `question`: more to be asked of each, may be empty.
  static Status make(Tree& tree, std::vector<std::vector<procfs::MapLine>> lines,
                     const std::vector<tracer::Question*>& questions, Deadline deadline);

  pid_t pid() const { return holder_.pid(); }
  const ProcessMemory& memory() const { return memory_; }

  // After the release: the mappings with their flags as the process had them. Busy if some memory has not been held after
  // all.
  Result<std::vector<procfs::MapLine>> lines() const;
  // What is read from elsewhere than the copy is not in the copy's page tables.
  void mark(std::vector<PlannedMapping>& mappings) const;

  Status read(std::span<const ProcessMemory::Transfer> transfers) const override;

 private:
  struct Wiped {
    std::uint64_t start = 0;
    std::vector<std::uint8_t> bytes;
  };

  HeldPages(tracer::Holder holder, ProcessMemory memory) : holder_(std::move(holder)), memory_(std::move(memory)) {}
  Status read_wiped(const Member& member, std::vector<procfs::MapLine> lines);

  tracer::Holder holder_;
  ProcessMemory memory_;
  std::vector<procfs::MapLine> at_instant_;  // flags where known
  std::vector<Wiped> wiped_;
};

// Whether the application may be copied: its private memory would fit, should all of it be written to meanwhile, and no
// process of its own adopts orphans, which would meet the copies.
bool may_copy(const Tree& tree);

}  // namespace stasis::checkpoint
