// Finding the pages to be stored and copying them into a page file.
#pragma once

#include <memory>
#include <span>
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

// Adds a finding for the first guard region, which a restore could not make again.
void refuse_guards(const Subject& subject, Findings& findings);

// Where pages are read from.
class PageSource {
 public:
  virtual ~PageSource() = default;
  virtual Status read(std::span<const ProcessMemory::Transfer> transfers) const = 0;
  // The parts of [start, end) that may hold something else than zeros.
  virtual Result<std::vector<Range>> parts(std::uint64_t start, std::uint64_t end) const {
    return std::vector<Range>{{start, end}};
  }
};

class MemoryPages : public PageSource {
 public:
  explicit MemoryPages(const ProcessMemory& memory) : memory_(memory) {}
  Status read(std::span<const ProcessMemory::Transfer> transfers) const override { return memory_.read(transfers); }

 private:
  const ProcessMemory& memory_;
};

// Addresses are offsets in the file; behind its end it has zeros.
class FilePages : public PageSource {
 public:
  explicit FilePages(int fd) : fd_(fd) {}
  Status read(std::span<const ProcessMemory::Transfer> transfers) const override;
  Result<std::vector<Range>> parts(std::uint64_t start, std::uint64_t end) const override;

 private:
  int fd_;
};

// As source.read; pages that cannot be read lie behind the end of a file and become zeros.
Status read_readable(const PageSource& source, const ProcessMemory::Transfer& transfer);

// Bytes that were read before. Addresses are those of the parts; between them it has zeros.
class CopiedPages : public PageSource {
 public:
  struct Part {
    std::uint64_t start;
    std::span<const std::uint8_t> bytes;
  };
  explicit CopiedPages(const std::vector<Part>& parts) : parts_(parts) {}
  Status read(std::span<const ProcessMemory::Transfer> transfers) const override;
  Result<std::vector<Range>> parts(std::uint64_t start, std::uint64_t end) const override;

 private:
  const std::vector<Part>& parts_;  // ascending
};

// Stores what is not zero in `ranges`, which are offsets in an object and ascend; they lie in the source from `base` on.
// The runs' addresses are offsets.
Status store_shared(const PageSource& source, const std::vector<Range>& ranges, std::uint64_t base,
                    std::vector<image::PageRun>& runs, image::PageFileWriter& writer);

// Stores the pages of every mapping and fills `runs`. Returns the number of runs. `pid` is whose page tables tell which
// pages there are: the subject's, or those of a copy of it. `memory` is that process's.
Result<std::uint64_t> store_pages(const Subject& subject, pid_t pid, const PageSource& source,
                                  const ProcessMemory& memory, std::vector<PlannedMapping>& mappings,
                                  image::PageFileWriter& writer);

}  // namespace stasis::checkpoint
