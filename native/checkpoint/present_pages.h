// Which pages of memory that processes share exist: asked of the processes themselves (mincore(2)), so that a copy need not read, and so make,
// those that do not.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "checkpoint/pages.h"
#include "os/procfs.h"
#include "tracer/threads.h"

namespace stasis::checkpoint {

// Asks for the pages of mappings that exist. A page that is swapped out counts as one that does not, so this is of use only
// without swap.
class PresentPages : public tracer::Question {
 public:
  void add(const procfs::MapLine& line) { areas_.push_back({line, 0, 0, {}}); }
  bool empty() const { return areas_.empty(); }
  // Whether the answer is there, and for a mapping that is what `line` is.
  bool tells_of(const procfs::MapLine& line) const;
  void ask(tracer::ParasiteThread& thread, bool first) override;
  Status take(const tracer::ParasiteThread& thread, bool first) override;
  // The parts of [start, end) that exist; all of it if that is not known.
  std::vector<Range> find(std::uint64_t start, std::uint64_t end) const;

 private:
  struct Area {
    procfs::MapLine line;
    std::size_t place, call;
    std::vector<std::uint8_t> pages;  // empty: not known
  };
  std::vector<Area> areas_;
};

// What to ask each process so that together they tell which pages of shared mappings exist: each part is asked of the one that has most of it.
// `lines` are the mappings of each, from smaps, as they were a moment ago; an answer is of use where they still are (tells_of).
std::vector<std::unique_ptr<PresentPages>> ask_present(const std::vector<const std::vector<procfs::MapLine>*>& lines);

// Whether pages may be swapped out on this host.
bool has_swap();

// Pages that one process can be asked for: a byte each in the runtime's area.
inline constexpr std::uint64_t kMostPagesAsked = 240 * 1024;

// The parts of [start, end) that are in none of `covered`; adds them there.
std::vector<Range> add_uncovered(std::vector<Range>& covered, std::uint64_t start, std::uint64_t end);

}  // namespace stasis::checkpoint
