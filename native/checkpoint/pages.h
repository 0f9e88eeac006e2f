// Finding the pages to be stored and copying them into a page file.
#pragma once

#include <memory>
#include <vector>

#include "checkpoint/memory.h"
#include "image/files.h"
#include "os/process_memory.h"

namespace stasis::checkpoint {

struct Range {
  std::uint64_t start = 0, end = 0;
};

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

// Absent pages between stored ones are stored as zeros if there are at most so many in a row, in anonymous memory: each
// mapping saved makes the restore 1.7 us shorter, and 32 KiB of zeros cost less than that to write and nothing to map
// (docs/kernel-facts.md).
inline constexpr std::uint64_t kMaxGapPages = 8;

// Stores the pages of every mapping and fills `runs`. Returns the number of runs.
Result<std::uint64_t> store_pages(const Subject& subject, const ProcessMemory& memory,
                                  std::vector<PlannedMapping>& mappings, image::PageFileWriter& writer);

}  // namespace stasis::checkpoint
