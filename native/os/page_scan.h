// What the kernel tells of a process's pages: PAGEMAP_SCAN (ioctl on /proc/PID/pagemap, kernel 6.7) and the entries of
// that file. Plain enough for the keeper.
#pragma once

#include <errno.h>
#include <sys/ioctl.h>

#include <cstddef>
#include <cstdint>

namespace stasis {

// struct pm_scan_arg and struct page_region of linux/fs.h.
struct ScanRegion {
  std::uint64_t start, end, categories;
};
struct ScanArgument {
  std::uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages, inverted, mask, any_of, returned;
};

// Bits of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
inline constexpr std::uint64_t kEntryFile = 1ULL << 61, kEntrySwapped = 1ULL << 62, kEntryPresent = 1ULL << 63;

// True for a page of the process's own, in memory or in swap. The page of zeros counts as one.
inline bool is_private_entry(std::uint64_t entry) {
  return (entry & (kEntryPresent | kEntrySwapped)) != 0 && (entry & kEntryFile) == 0;
}

// Asks for the pages that are neither a file's nor the page of zeros and that exist, in memory or in swap.
inline ScanArgument scan_of_private_pages(std::uint64_t start, std::uint64_t end, ScanRegion* regions,
                                          std::size_t count) {
  constexpr std::uint64_t kFile = 1 << 2, kPresent = 1 << 3, kSwapped = 1 << 4, kZeroPage = 1 << 5;
  ScanArgument argument{};
  argument.size = sizeof argument;
  argument.start = start;
  argument.end = end;
  argument.regions = reinterpret_cast<std::uint64_t>(regions);
  argument.region_count = count;
  argument.mask = argument.inverted = kFile | kZeroPage;
  argument.any_of = kPresent | kSwapped;
  argument.returned = kPresent | kSwapped;
  return argument;
}

// Asks for guard regions (MADV_GUARD_INSTALL, kernel 6.13); EINVAL before 6.15, where they cannot be told.
inline ScanArgument scan_of_guards(std::uint64_t start, std::uint64_t end, ScanRegion* regions, std::size_t count) {
  constexpr std::uint64_t kGuard = 1 << 8;
  ScanArgument argument{};
  argument.size = sizeof argument;
  argument.start = start;
  argument.end = end;
  argument.regions = reinterpret_cast<std::uint64_t>(regions);
  argument.region_count = count;
  argument.mask = argument.returned = kGuard;
  return argument;
}

// The number of regions found, or -1 with errno. Fewer regions than asked for mean that the walk is over; walk_end may
// be stale, since the kernel flushes in batches of its own.
inline int ioctl_scan(int pagemap, ScanArgument& argument) {
  constexpr unsigned long kScan = _IOWR('f', 16, ScanArgument);
  int count;
  do {
    count = ioctl(pagemap, kScan, &argument);
  } while (count < 0 && errno == EINTR);
  return count;
}

}  // namespace stasis
