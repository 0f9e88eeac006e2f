// Mapping an ELF file (see loader.h). One reservation covers the whole file, segments are mapped over it, holes are
// given back.
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

i64 reserve_at(u64 address, u64 bytes) {
  i64 result =
      raw_syscall(__NR_mmap, address, bytes, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (address != 0 ? MAP_FIXED_NOREPLACE : 0), -1, 0);
  // Before 4.17 the flag is a hint only.
  if (!is_error(result) && address != 0 && static_cast<u64>(result) != address) {
    raw_syscall(__NR_munmap, result, bytes);
    return -EEXIST;
  }
  return result;
}

// Address space for the whole file; returns where its lowest page goes.
i64 reserve(const Elf64_Ehdr& header, const Extent& extent, u64 hint) {
  u64 bytes = extent.high - extent.low;
  if (header.e_type == ET_EXEC) return reserve_at(extent.low, bytes);
  if (hint != 0) {
    i64 result = reserve_at(hint & ~(extent.alignment - 1), bytes);
    if (!is_error(result)) return result;
  }
  u64 slack = extent.alignment - wire::kPageBytes;
  i64 result = reserve_at(0, bytes + slack);
  if (is_error(result) || slack == 0) return result;
  u64 start = static_cast<u64>(result), aligned = (start + extent.alignment - 1) & ~(extent.alignment - 1);
  if (aligned > start) raw_syscall(__NR_munmap, start, aligned - start);
  u64 end = start + bytes + slack;
  if (end > aligned + bytes) raw_syscall(__NR_munmap, aligned + bytes, end - (aligned + bytes));
  return static_cast<i64>(aligned);
}

struct Loading {
  i32 fd;
  u64 header_offset;
  u64 mapped_end;  // end of the last segment mapped
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
i64 map_zeros(const Elf64_Phdr& segment, u64 start, u64 file_pages_end) {
  u32 protection = protection_of(segment);
  u64 file_end = start + segment.p_filesz, end = page_ceiling(start + segment.p_memsz);
  if (segment.p_memsz > segment.p_filesz && file_end < file_pages_end && (protection & PROT_WRITE) != 0) {
    memset(reinterpret_cast<void*>(file_end), 0, file_pages_end - file_end);
  }
  if (end <= file_pages_end) return 0;
  return raw_syscall(__NR_mmap, file_pages_end, end - file_pages_end, protection,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

i64 map_segment(void* context, const Elf64_Phdr& segment) {
  auto* loading = static_cast<Loading*>(context);
  LoadedFile* loaded = loading->loaded;
  u64 start = segment.p_vaddr + loaded->bias;
  if (segment.p_type == PT_PHDR) loaded->headers = start;
  if (segment.p_type != PT_LOAD || segment.p_memsz == 0) return 0;
  u64 page = page_floor(start), file_pages_end = page;
  if (page > loading->mapped_end && loading->mapped_end != 0) {
    raw_syscall(__NR_munmap, loading->mapped_end, page - loading->mapped_end);
  }
  if (segment.p_filesz > 0) {
    file_pages_end = page_ceiling(start + segment.p_filesz);
    i64 result = raw_syscall(__NR_mmap, page, start + segment.p_filesz - page, protection_of(segment),
                             MAP_PRIVATE | MAP_FIXED, loading->fd, page_floor(segment.p_offset));
    if (is_error(result)) return result;
  }
  i64 result = map_zeros(segment, start, file_pages_end);
  if (is_error(result)) return result;
  loading->mapped_end = page_ceiling(start + segment.p_memsz);
  u64 offset = loading->header_offset;
  if (loaded->headers == 0 && segment.p_offset <= offset && offset < segment.p_offset + segment.p_filesz) {
    loaded->headers = start + (offset - segment.p_offset);
  }
  note_extent(loaded, segment, start);
  return 0;
}

}  // namespace

i64 load_file(i32 fd, u64 hint, LoadedFile* loaded) {
  Elf64_Ehdr header;
  i64 result = read_elf_header(fd, &header);
  if (result < 0) return result;
  Extent extent;
  result = for_each_segment(fd, header, measure, &extent);
  if (result < 0) return result;
  if (extent.high == 0) return -ENOEXEC;
  result = reserve(header, extent, hint);
  if (is_error(result)) return result;
  *loaded = {};
  loaded->bias = static_cast<u64>(result) - extent.low;
  loaded->entry = header.e_entry + loaded->bias;
  loaded->header_count = header.e_phnum;
  loaded->executable_stack = extent.executable_stack;
  loaded->start_code = ~0UL;
  Loading loading{fd, header.e_phoff, 0, loaded};
  result = for_each_segment(fd, header, map_segment, &loading);
  return result < 0 ? result : 0;
}

}  // namespace stasis::runtime
