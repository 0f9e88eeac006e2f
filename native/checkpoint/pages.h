// Finding the pages to be stored and copying them into a page file.
#pragma once

#include <memory>
#include <vector>

#include "checkpoint/memory.h"
#include "image/files.h"
#include "os/process_memory.h"

namespace stasis::checkpoint {

// Reads a process's page tables: PAGEMAP_SCAN (kernel 6.7) where it works, else the entries of /proc/PID/pagemap.
class PageTables {
 public:
  static Result<PageTables> open(pid_t pid);

  // Ranges of `piece` whose pages match its rule, ascending. Not for PageRule::NonZero.
  Result<std::vector<Range>> find(const Piece& piece);

  // False: find() may also name pages that hold only zeros.
  bool knows_zero_page() const { return scan_works_; }

 private:
  explicit PageTables(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<std::vector<Range>> scan(const Piece& piece);
  Result<std::vector<Range>> read_entries(const Piece& piece);

  UniqueFd fd_;
  bool scan_works_ = true;
};

// Absent pages between stored ones become part of the run, in anonymous memory, if there are at most so many in a row:
// each run saved makes the restore about 4 us shorter, the mapping of the run and that of the gap (docs/kernel-facts.md).
// V8 leaves all but two of the 64 pages of a heap chunk untouched when it has no use for it yet.
inline constexpr std::uint64_t kMaxGapPages = 64;
// Up to here zeros are written; longer gaps are holes of the page file.
inline constexpr std::uint64_t kMaxWrittenGapPages = 8;
// Holes are hashed with the rest, so there is a limit for memory that is thinly strewn with pages: so many bytes and a
// quarter of the file.
inline constexpr std::uint64_t kMaxHoleBytes = 16 << 20;
inline constexpr std::uint64_t kHoleShare = 4;

// Stores the pages of every mapping and fills `runs`. Returns the number of runs.
Result<std::uint64_t> store_pages(const Subject& subject, const ProcessMemory& memory,
                                  std::vector<PlannedMapping>& mappings, image::PageFileWriter& writer);

}  // namespace stasis::checkpoint
