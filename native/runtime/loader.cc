// Mapping an ELF file (see loader.h).
//
// At an address that is known beforehand the segments are mapped one by one, each only where nothing is yet: a mapping
// beside others costs half of what one over another does. Where the kernel is to choose, or if that place is taken, one
// reservation covers the whole file, segments are mapped over it, and holes are given back.
#include "runtime/loader.h"

#include <linux/mman.h>

#include "runtime/program_file.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/layout.h"

namespace stasis::runtime {

namespace {

constexpr u64 kPageMask = wire::kPageBytes - 1;

u64 page_floor(u64 address) { return address & ~kPageMask; }
u64 page_ceiling(u64 address) { return (address + kPageMask) & ~kPageMask; }

u32 protection_of(const Elf64_Phdr& segment) {
  return ((segment.p_flags & PF_R) != 0 ? PROT_READ : 0) | ((segment.p_flags & PF_W) != 0 ? PROT_WRITE : 0) |
         ((segment.p_flags & PF_X) != 0 ? PROT_EXEC : 0);
}

struct Extent {
  u64 low = ~0UL, high = 0, alignment = wire::kPageBytes;
  bool executable_stack = false;
};

i64 measure(void* context, const Elf64_Phdr& segment) {
  auto* extent = static_cast<Extent*>(context);
  if (segment.p_type == PT_GNU_STACK) extent->executable_stack = (segment.p_flags & PF_X) != 0;
  if (segment.p_type != PT_LOAD) return 0;
  if (segment.p_filesz > segment.p_memsz || segment.p_vaddr + segment.p_memsz < segment.p_vaddr ||
      segment.p_vaddr + segment.p_memsz > wire::kUserTop) {
    return -EINVAL;
  }
  if (page_floor(segment.p_vaddr) < extent->low) extent->low = page_floor(segment.p_vaddr);
  if (page_ceiling(segment.p_vaddr + segment.p_memsz) > extent->high) {
    extent->high = page_ceiling(segment.p_vaddr + segment.p_memsz);
  }
  bool power_of_two = (segment.p_align & (segment.p_align - 1)) == 0;
  if (power_of_two && segment.p_align > extent->alignment) extent->alignment = segment.p_align;
  return 0;
}

i64 map_exactly(u64 address, u64 bytes, u32 protection, u32 flags, i32 fd, u64 offset) {
  const i64 result = raw_syscall(__NR_mmap, address, bytes, protection, flags, fd, offset);
  if (is_error(result) || static_cast<u64>(result) == address) return is_error(result) ? result : 0;
  // Before 4.17 MAP_FIXED_NOREPLACE is a hint only.
  raw_syscall(__NR_munmap, result, bytes);
  return -EEXIST;
}

constexpr u32 kReservation = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

// Address space for the whole file; gives where its lowest page goes.
i64 reserve(const Elf64_Ehdr& header, const Extent& extent) {
  const u64 bytes = extent.high - extent.low, slack = extent.alignment - wire::kPageBytes;
  if (header.e_type == ET_EXEC) {
    const i64 result = map_exactly(extent.low, bytes, PROT_NONE, kReservation | MAP_FIXED_NOREPLACE, -1, 0);
    return is_error(result) ? result : static_cast<i64>(extent.low);
  }
  const i64 result = raw_syscall(__NR_mmap, 0, bytes + slack, PROT_NONE, kReservation, -1, 0);
  if (is_error(result) || slack == 0) return result;
  u64 start = static_cast<u64>(result), aligned = (start + extent.alignment - 1) & ~(extent.alignment - 1);
  if (aligned > start) raw_syscall(__NR_munmap, start, aligned - start);
  u64 end = start + bytes + slack;
  if (end > aligned + bytes) raw_syscall(__NR_munmap, aligned + bytes, end - (aligned + bytes));
  return static_cast<i64>(aligned);
}

struct Loading {
  const FileHead& head;
  u32 placing;         // MAP_FIXED over a reservation, MAP_FIXED_NOREPLACE without one
  u64 mapped_end = 0;  // end of the last segment mapped
  LoadedFile* loaded;
};

void note_extent(LoadedFile* loaded, const Elf64_Phdr& segment, u64 start) {
  u64 file_end = start + segment.p_filesz, end = start + segment.p_memsz;
  bool code = (segment.p_flags & PF_X) != 0;
  if (code && start < loaded->start_code) loaded->start_code = start;
  if (start > loaded->start_data) loaded->start_data = start;
  if (code && file_end > loaded->end_code) loaded->end_code = file_end;
  if (file_end > loaded->end_data) loaded->end_data = file_end;
  if (end > loaded->break_start) loaded->break_start = end;
}

// The part of a segment that is not in the file: zeros to the end of the file's last page, then anonymous pages.
i64 map_zeros(const Loading& loading, const Elf64_Phdr& segment, u64 start, u64 file_pages_end) {
  u32 protection = protection_of(segment);
  u64 file_end = start + segment.p_filesz, end = page_ceiling(start + segment.p_memsz);
  if (segment.p_memsz > segment.p_filesz && file_end < file_pages_end && (protection & PROT_WRITE) != 0) {
    memset(reinterpret_cast<void*>(file_end), 0, file_pages_end - file_end);
  }
  if (end <= file_pages_end) return 0;
  return map_exactly(file_pages_end, end - file_pages_end, protection, MAP_PRIVATE | MAP_ANONYMOUS | loading.placing,
                     -1, 0);
}

i64 map_segment(void* context, const Elf64_Phdr& segment) {
  auto* loading = static_cast<Loading*>(context);
  LoadedFile* loaded = loading->loaded;
  u64 start = segment.p_vaddr + loaded->bias;
  if (segment.p_type == PT_PHDR) loaded->headers = start;
  if (segment.p_type != PT_LOAD || segment.p_memsz == 0) return 0;
  u64 page = page_floor(start), file_pages_end = page;
  if (page > loading->mapped_end && loading->mapped_end != 0 && loading->placing == MAP_FIXED) {
    raw_syscall(__NR_munmap, loading->mapped_end, page - loading->mapped_end);
  }
  if (segment.p_filesz > 0) {
    file_pages_end = page_ceiling(start + segment.p_filesz);
    i64 result = map_exactly(page, start + segment.p_filesz - page, protection_of(segment),
                             MAP_PRIVATE | loading->placing, loading->head.fd, page_floor(segment.p_offset));
    if (result < 0) return result;
    loading->mapped_end = file_pages_end;
  }
  i64 result = map_zeros(*loading, segment, start, file_pages_end);
  if (result < 0) return result;
  loading->mapped_end = page_ceiling(start + segment.p_memsz);
  const u64 offset = loading->head.header().e_phoff;
  if (loaded->headers == 0 && segment.p_offset <= offset && offset < segment.p_offset + segment.p_filesz) {
    loaded->headers = start + (offset - segment.p_offset);
  }
  note_extent(loaded, segment, start);
  return 0;
}

// Takes back what map_segment() has mapped without a reservation.
i64 unmap_segment(void* context, const Elf64_Phdr& segment) {
  const auto* loading = static_cast<const Loading*>(context);
  const u64 start = segment.p_vaddr + loading->loaded->bias, page = page_floor(start);
  if (segment.p_type != PT_LOAD || page >= loading->mapped_end) return 0;
  u64 end = page_ceiling(start + segment.p_memsz);
  if (end > loading->mapped_end) end = loading->mapped_end;
  raw_syscall(__NR_munmap, page, end - page);
  return 0;
}

i64 map_at(const FileHead& head, const Extent& extent, u64 base, u32 placing, LoadedFile* loaded) {
  *loaded = {};
  loaded->bias = base - extent.low;
  loaded->entry = head.header().e_entry + loaded->bias;
  loaded->header_count = head.header().e_phnum;
  loaded->executable_stack = extent.executable_stack;
  loaded->start_code = ~0UL;
  Loading loading{.head = head, .placing = placing, .loaded = loaded};
  const i64 result = for_each_segment(head, map_segment, &loading);
  if (result < 0 && placing == MAP_FIXED_NOREPLACE) for_each_segment(head, unmap_segment, &loading);
  return result;
}

// The base that is wished for the file; 0: none.
u64 wished_base(const Elf64_Ehdr& header, const Extent& extent, const Place& place) {
  const u64 bytes = extent.high - extent.low;
  if (header.e_type == ET_EXEC) return extent.low;
  if (place.at != 0) return place.at & ~(extent.alignment - 1);
  return place.below > bytes ? (place.below - bytes) & ~(extent.alignment - 1) : 0;
}

}  // namespace

i64 load_file(const FileHead& head, Place place, LoadedFile* loaded) {
  Extent extent;
  i64 result = for_each_segment(head, measure, &extent);
  if (result < 0) return result;
  if (extent.high == 0) return -ENOEXEC;
  if (const u64 base = wished_base(head.header(), extent, place); base != 0) {
    result = map_at(head, extent, base, MAP_FIXED_NOREPLACE, loaded);
    // Taken by others, or the file's own segments share a page.
    if (result != -EEXIST) return result;
  }
  result = reserve(head.header(), extent);
  if (is_error(result)) return result;
  return map_at(head, extent, static_cast<u64>(result), MAP_FIXED, loaded);
}

}  // namespace stasis::runtime
