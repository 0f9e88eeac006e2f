#include "runtime/image_table.h"

#include <linux/mman.h>

#include "runtime/memory.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/layout.h"

namespace stasis::runtime {

ImageTable g_image_table;

namespace {

u64 page_count(u64 begin, u64 end) { return (end - begin) / wire::kPageBytes; }

u64 max_of(u64 a, u64 b) { return a > b ? a : b; }
u64 min_of(u64 a, u64 b) { return a < b ? a : b; }

}  // namespace

u64 ImageTable::first_ending_after(u64 address) const {
  u64 low = 0, high = count_;
  while (low < high) {
    const u64 middle = (low + high) / 2;
    if (ranges_[middle].address + ranges_[middle].length <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

bool ImageTable::touches(u64 begin, u64 end) const {
  for (u64 i = first_ending_after(begin); i < count_ && ranges_[i].address < end; i++) {
    const wire::ImageRange& range = ranges_[i];
    const u64 from = max_of(begin, range.address), to = min_of(end, range.address + range.length);
    const u64 first = range.first_bit + page_count(range.address, from);
    for (u64 bit = first; bit < first + page_count(from, to); bit++) {
      if ((__atomic_load_n(&bits_[bit >> 3], __ATOMIC_RELAXED) >> (bit & 7) & 1) == 0) return true;
    }
  }
  return false;
}

const wire::ImageRange* ImageTable::range_at(u64 address) const {
  const u64 i = first_ending_after(address);
  return i < count_ && ranges_[i].address <= address ? &ranges_[i] : nullptr;
}

void ImageTable::forget(u64 begin, u64 end) {
  for (u64 i = first_ending_after(begin); i < count_ && ranges_[i].address < end; i++) {
    const wire::ImageRange& range = ranges_[i];
    const u64 from = max_of(begin, range.address), to = min_of(end, range.address + range.length);
    const u64 first = range.first_bit + page_count(range.address, from);
    for (u64 bit = first; bit < first + page_count(from, to); bit++) {
      __atomic_or_fetch(&bits_[bit >> 3], static_cast<u8>(1U << (bit & 7)), __ATOMIC_RELAXED);
    }
  }
}

bool ImageTable::is_image(const MappingInfo& mapping) const {
  if (mapping.inode == 0 || mapping.shared) return false;
  for (u32 i = 0; i < g_state.page_file_count; i++) {
    if (g_state.page_files[i].inode == mapping.inode && g_state.page_files[i].device == mapping.device) return true;
  }
  return false;
}

i64 ImageTable::adopt(const wire::ImageRange* ranges, u64 count, u64 pages) {
  if (count == 0) return 0;
  const u64 table_bytes = (count * sizeof(wire::ImageRange) + 63) & ~63UL;
  const u64 bytes = (table_bytes + pages / 8 + wire::kPageBytes) & ~(wire::kPageBytes - 1);
  if (bytes > wire::kImageTableMaxBytes) return -ENOMEM;
  const i64 mapped = raw_syscall(__NR_mmap, wire::kImageTableBase, bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);  // reserved at start
  if (is_error(mapped)) return mapped;
  ranges_ = reinterpret_cast<wire::ImageRange*>(wire::kImageTableBase);
  bits_ = reinterpret_cast<u8*>(wire::kImageTableBase + table_bytes);
  memcpy(ranges_, ranges, count * sizeof(wire::ImageRange));
  count_ = count;
  g_state.image_range_count = count;
  return 0;
}

i64 set_image_ranges(const wire::ImageRange* ranges, u64 count, u64 pages, const wire::PageFileIdentity* page_files,
                     u32 page_file_count) {
  if (page_file_count > wire::kMaxPageFiles) return -E2BIG;
  for (u32 i = 0; i < page_file_count; i++) g_state.page_files[i] = page_files[i];
  g_state.page_file_count = page_file_count;
  const i64 adopted = g_image_table.adopt(ranges, count, pages);
  if (adopted < 0 || count == 0) return adopted;

  // stat(2) and /proc/PID/maps disagree about the device of files on btrfs and some overlays. Page files of one image lie in one
  // directory, so what the kernel shows for the first range holds for all.
  MappingQuery query;
  MappingInfo info;
  if (!query.ok() || !query.find(ranges[0].address, &info) || info.begin > ranges[0].address) return -EFAULT;
  for (u32 i = 0; i < page_file_count; i++) g_state.page_files[i].device = info.device;
  return 0;
}

}  // namespace stasis::runtime
