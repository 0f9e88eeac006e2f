#include "checkpoint/pages.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "checkpoint/sites.h"
#include "os/file.h"
#include "os/page_scan.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

using wire::kPageBytes;

constexpr std::size_t kScanRegions = 4096;

constexpr std::size_t kEntriesAtOnce = 8192;

constexpr std::size_t kBufferBytes = 2 << 20;

std::uint64_t round_up(std::uint64_t bytes) { return (bytes + kPageBytes - 1) & ~(kPageBytes - 1); }

void append(std::vector<Range>& ranges, std::uint64_t start, std::uint64_t end) {
  if (!ranges.empty() && ranges.back().end == start) {
    ranges.back().end = end;
  } else {
    ranges.push_back({start, end});
  }
}

// Copies ranges of the process, with zeros between them, to the end of the page file.
class Copier {
 public:
  Copier(const PageSource& source, std::span<const wire::RewrittenSite> sites, image::PageFileWriter& writer)
      : source_(source),
        sites_(sites),
        writer_(writer),
        buffer_(new(std::align_val_t(kPageBytes)) std::uint8_t[kBufferBytes]) {}

  // Where the next byte will be in the file.
  std::uint64_t offset() const { return writer_.bytes() + used_; }

  Status add(std::uint64_t address, std::uint64_t bytes) {
    while (bytes > 0) {
      const std::size_t count = STASIS_TRY(make_room(bytes));
      transfers_.push_back({address, buffer_.get() + used_, count});
      used_ += count;
      address += count;
      bytes -= count;
    }
    return {};
  }

  // Whether a gap between stored pages is worth filling.
  bool takes_gap(std::uint64_t bytes) const {
    if (bytes <= kMaxWrittenGapPages * kPageBytes) return true;
    return bytes <= kMaxGapPages * kPageBytes && hole_bytes_ + bytes <= kMaxHoleBytes + offset() / kHoleShare;
  }

  Status add_gap(std::uint64_t bytes) {
    if (bytes > kMaxWrittenGapPages * kPageBytes) {
      STASIS_TRY(flush());
      writer_.append_hole(bytes);
      hole_bytes_ += bytes;
      return {};
    }
    while (bytes > 0) {
      const std::size_t count = STASIS_TRY(make_room(bytes));
      std::memset(buffer_.get() + used_, 0, count);
      used_ += count;
      bytes -= count;
    }
    return {};
  }

  Status flush() {
    STASIS_TRY(source_.read(transfers_));
    for (const wire::RewrittenSite& site : sites_) restore_in_transfers(site);
    transfers_.clear();
    STASIS_TRY(writer_.append({buffer_.get(), used_}));
    used_ = 0;
    return {};
  }

  // Reads pages only to look at them. `all`: every one can be read; else those that cannot count as zeros.
  Result<std::vector<Range>> find_not_zero(std::uint64_t start, std::uint64_t end, bool all = true) {
    std::vector<Range> ranges;
    if (used_ > 0) STASIS_TRY(flush());
    while (start < end) {
      const std::size_t count = std::min<std::uint64_t>(kBufferBytes, end - start);
      const ProcessMemory::Transfer transfer{start, buffer_.get(), count};
      STASIS_TRY(all ? source_.read({&transfer, 1}) : read_readable(source_, transfer));
      for (std::size_t at = 0; at < count; at += kPageBytes) {
        if (!image::is_zero_page(buffer_.get() + at)) append(ranges, start + at, start + at + kPageBytes);
      }
      start += count;
    }
    return ranges;
  }

 private:
  struct Free {
    void operator()(std::uint8_t* bytes) const { ::operator delete[](bytes, std::align_val_t(kPageBytes)); }
  };

  // Transfers ascend, and a site may lie across two.
  void restore_in_transfers(const wire::RewrittenSite& site) {
    const auto ends_before = [](const ProcessMemory::Transfer& transfer, std::uint64_t address) {
      return transfer.address + transfer.bytes <= address;
    };
    auto at = std::lower_bound(transfers_.begin(), transfers_.end(), site.address, ends_before);
    for (; at != transfers_.end() && at->address < site.address + wire::kSiteBytes; ++at) {
      restore_site(site, at->address, {at->to, at->bytes});
    }
  }

  Result<std::size_t> make_room(std::uint64_t bytes) {
    if (used_ == kBufferBytes) STASIS_TRY(flush());
    return std::min<std::size_t>(bytes, kBufferBytes - used_);
  }

  const PageSource& source_;
  std::span<const wire::RewrittenSite> sites_;
  image::PageFileWriter& writer_;
  std::unique_ptr<std::uint8_t[], Free> buffer_;
  std::size_t used_ = 0;
  std::uint64_t hole_bytes_ = 0;
  std::vector<ProcessMemory::Transfer> transfers_;
};

Result<std::vector<Range>> changed_ranges(const Subject& subject, const ProcessMemory& memory,
                                          const PlannedMapping& mapping, const Piece& piece, PageTables& tables) {
  std::vector<Range> ranges = STASIS_TRY(tables.find(piece));
  if (subject.sites.empty()) return ranges;
  return without_rewritten_pages(subject, memory, mapping.record, ranges);
}

Result<std::vector<Range>> ranges_of(const Subject& subject, const ProcessMemory& memory, PlannedMapping& mapping,
                                     PageTables& tables, Copier& copier) {
  std::vector<Range> ranges;
  for (const Piece& piece : mapping.pieces) {
    if (piece.rule == PageRule::None) continue;
    if (piece.rule == PageRule::All) {
      append(ranges, piece.start, piece.end);
      continue;
    }
    if (piece.rule == PageRule::NonZero || piece.rule == PageRule::Readable) {
      const bool all = piece.rule == PageRule::NonZero;
      for (const Range& range : STASIS_TRY(copier.find_not_zero(piece.start, piece.end, all)))
        append(ranges, range.start, range.end);
      continue;
    }
    if (piece.rule == PageRule::Changed) {
      for (const Range& range : STASIS_TRY(changed_ranges(subject, memory, mapping, piece, tables)))
        append(ranges, range.start, range.end);
      continue;
    }
    for (const Range& range : STASIS_TRY(tables.find(piece))) {
      if (tables.knows_zero_page()) {
        append(ranges, range.start, range.end);
        continue;
      }
      for (const Range& part : STASIS_TRY(copier.find_not_zero(range.start, range.end)))
        append(ranges, part.start, part.end);
    }
  }
  return ranges;
}

// One run for a row of ranges with small gaps. `base`: the address of what the runs call 0.
Status store_ranges(const std::vector<Range>& ranges, std::uint64_t base, bool fill, std::vector<image::PageRun>& runs,
                    Copier& copier) {
  std::uint64_t end = 0;
  for (const Range& range : ranges) {
    const bool joins = fill && !runs.empty() && copier.takes_gap(range.start - end);
    if (joins) {
      STASIS_TRY(copier.add_gap(range.start - end));
      runs.back().length += range.end - end;
    } else {
      runs.push_back({range.start - base, range.end - range.start, 0, copier.offset()});
    }
    STASIS_TRY(copier.add(range.start, range.end - range.start));
    end = range.end;
  }
  return {};
}

}  // namespace

void refuse_guards(const Subject& subject, Findings& findings) {
  const std::string path = "/proc/" + std::to_string(procfs::stand_in_of(subject.pid)) + "/pagemap";
  const auto fd = open_file_at(AT_FDCWD, path, O_RDONLY, 0, "opening the page tables");
  ScanRegion region{};
  ScanArgument argument = scan_of_guards(0, wire::kUserTop, &region, 1);
  if (!fd.ok() || ioctl_scan(fd.value().get(), argument) <= 0) return;
  char address[32];
  std::snprintf(address, sizeof address, ", address 0x%lx", region.start);
  findings.add(subject.where() + address, "a guard region (MADV_GUARD_INSTALL)", "use mprotect with PROT_NONE");
}

Result<PageTables> PageTables::open(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(procfs::stand_in_of(pid)) + "/pagemap";
  auto fd = open_file_at(AT_FDCWD, path, O_RDONLY, 0, "opening the page tables");
  if (!fd.ok()) return std::move(fd).error().with_pid(pid);
  return PageTables(std::move(fd).value());
}

Result<std::vector<Range>> PageTables::find(const Piece& piece) {
  if (scan_works_) {
    auto ranges = scan(piece);
    if (ranges.ok() || (ranges.error().error != ENOTTY && ranges.error().error != EINVAL)) return ranges;
    scan_works_ = false;
  }
  return read_entries(piece);
}

Result<std::vector<Range>> PageTables::scan(const Piece& piece) {
  std::vector<Range> ranges;
  std::vector<ScanRegion> regions(kScanRegions);
  ScanArgument argument = scan_of_private_pages(piece.start, piece.end, regions.data(), regions.size());
  while (true) {
    const int count = ioctl_scan(fd_.get(), argument);
    if (count < 0)
      return Error::of_errno("ioctl", "scanning the page tables").with_range(piece.start, piece.end - piece.start);
    for (int i = 0; i < count; ++i) append(ranges, regions[i].start, regions[i].end);
    if (static_cast<std::size_t>(count) < regions.size()) return ranges;
    argument.start = regions[count - 1].end;
    if (argument.start >= piece.end) return ranges;
  }
}

Result<std::vector<Range>> PageTables::read_entries(const Piece& piece) {
  std::vector<Range> ranges;
  std::vector<std::uint64_t> entries(kEntriesAtOnce);
  std::uint64_t page = piece.start / kPageBytes;
  const std::uint64_t end = piece.end / kPageBytes;
  while (page < end) {
    const std::size_t wanted = std::min<std::uint64_t>(entries.size(), end - page);
    auto* bytes = reinterpret_cast<std::uint8_t*>(entries.data());
    const std::size_t got = STASIS_TRY(read_at(fd_.get(), {bytes, wanted * 8}, page * 8, "/proc/PID/pagemap")) / 8;
    if (got == 0)
      return Error::plain(ErrorKind::Failed, "reading the page tables: they ended early")
          .with_range(page * kPageBytes, kPageBytes);
    for (std::size_t i = 0; i < got; ++i) {
      if (!is_private_entry(entries[i])) continue;
      append(ranges, (page + i) * kPageBytes, (page + i + 1) * kPageBytes);
    }
    page += got;
  }
  return ranges;
}

Result<std::uint64_t> store_pages(const Subject& subject, pid_t pid, const PageSource& source,
                                  const ProcessMemory& memory, std::vector<PlannedMapping>& mappings,
                                  image::PageFileWriter& writer) {
  PageTables tables = STASIS_TRY(PageTables::open(pid));
  Copier copier(source, subject.sites, writer);
  std::uint64_t runs = 0;
  for (PlannedMapping& mapping : mappings) {
    STASIS_TRY(check_cancelled(subject.cancel));
    const std::vector<Range> ranges = STASIS_TRY(ranges_of(subject, memory, mapping, tables, copier));
    const bool fill = mapping.record.source == image::MappingSource::Anonymous;
    STASIS_TRY(store_ranges(ranges, 0, fill, mapping.record.runs, copier));
    runs += mapping.record.runs.size();
  }
  STASIS_TRY(copier.flush());
  return runs;
}

Status store_shared(const PageSource& source, const std::vector<Range>& ranges, std::uint64_t base,
                    std::vector<image::PageRun>& runs, image::PageFileWriter& writer) {
  Copier copier(source, {}, writer);
  std::vector<Range> found;
  for (const Range& range : ranges) {
    for (const Range& part : STASIS_TRY(source.parts(base + range.start, base + range.end))) {
      for (const Range& page : STASIS_TRY(copier.find_not_zero(part.start, part.end, false)))
        append(found, page.start, page.end);
    }
  }
  STASIS_TRY(store_ranges(found, base, false, runs, copier));
  return copier.flush();
}

Status read_readable(const PageSource& source, const ProcessMemory::Transfer& transfer) {
  const auto behind_end = [](const Error& error) { return error.error == EFAULT || error.error == EIO; };
  Status whole = source.read({&transfer, 1});
  if (whole.ok() || !behind_end(whole.error())) return whole;
  for (std::size_t at = 0; at < transfer.bytes; at += kPageBytes) {
    const ProcessMemory::Transfer page{transfer.address + at, transfer.to + at,
                                       std::min<std::size_t>(kPageBytes, transfer.bytes - at)};
    Status read = source.read({&page, 1});
    if (read.ok()) continue;
    if (!behind_end(read.error())) return read;
    std::memset(page.to, 0, page.bytes);
  }
  return {};
}

Status FilePages::read(std::span<const ProcessMemory::Transfer> transfers) const {
  for (const ProcessMemory::Transfer& transfer : transfers) {
    std::size_t have = 0;
    while (have < transfer.bytes) {
      const std::span<std::uint8_t> rest{transfer.to + have, transfer.bytes - have};
      const std::size_t got = STASIS_TRY(read_at(fd_, rest, transfer.address + have, "a memory file"));
      if (got == 0) break;
      have += got;
    }
    std::memset(transfer.to + have, 0, transfer.bytes - have);
  }
  return {};
}

Result<std::vector<Range>> FilePages::parts(std::uint64_t start, std::uint64_t end) const {
  std::vector<Range> parts;
  for (off_t at = static_cast<off_t>(start); at < static_cast<off_t>(end);) {
    const off_t data = ::lseek(fd_, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) return Error::of_errno("lseek", "looking for data in a memory file");
    const off_t hole = ::lseek(fd_, data, SEEK_HOLE);
    if (hole < 0) return Error::of_errno("lseek", "looking for data in a memory file");
    if (data < static_cast<off_t>(end))
      append(parts, static_cast<std::uint64_t>(data) & ~(kPageBytes - 1),
             std::min(end, round_up(static_cast<std::uint64_t>(hole))));
    at = hole;
  }
  return parts;
}

Status CopiedPages::read(std::span<const ProcessMemory::Transfer> transfers) const {
  for (const ProcessMemory::Transfer& transfer : transfers) {
    std::memset(transfer.to, 0, transfer.bytes);
    for (const Part& part : parts_) {
      const std::uint64_t start = std::max(transfer.address, part.start);
      const std::uint64_t end = std::min(transfer.address + transfer.bytes, part.start + part.bytes.size());
      if (start < end)
        std::memcpy(transfer.to + (start - transfer.address), &part.bytes[start - part.start], end - start);
    }
  }
  return {};
}

Result<std::vector<Range>> CopiedPages::parts(std::uint64_t start, std::uint64_t end) const {
  std::vector<Range> result;
  for (const Part& part : parts_) {
    const std::uint64_t from = std::max(start, part.start), to = std::min(end, part.start + part.bytes.size());
    if (from < to) append(result, from, to);
  }
  return result;
}

}  // namespace stasis::checkpoint
