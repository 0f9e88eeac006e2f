// mremap on memory that is mapped from an image. To the program it is one anonymous mapping; to the kernel it may be several, and none
// of them may grow beyond the image's file. Growth in place adds anonymous memory behind; a move copies into fresh memory, so that image
// pages never change their address and the table stays fixed.
#include <linux/mman.h>

#include "runtime/image_table.h"
#include "runtime/memory.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/layout.h"

namespace stasis::runtime {

namespace {

struct Span {
  bool uniform;     // private, anonymous or from the image, one protection, without holes
  bool from_image;  // at least one piece comes from the image
  u32 protection;
};

Span look_at(u64 begin, u64 end) {
  Span span = {false, false, 0};
  MappingQuery query;
  if (!query.ok()) return span;
  for (u64 at = begin; at < end;) {
    MappingInfo info;
    if (!query.find(at, &info) || info.begin > at) return span;
    const bool image = g_image_table.is_image(info);
    if (info.shared || (info.inode != 0 && !image)) return span;
    if (at != begin && info.protection != span.protection) return span;
    span.protection = info.protection;
    span.from_image = span.from_image || image;
    at = info.end;
  }
  span.uniform = true;
  return span;
}

bool grow_in_place(u64 end, u64 more_bytes, u32 protection) {
  const i64 got =
      raw_syscall(__NR_mmap, end, more_bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (is_error(got)) return false;
  if (static_cast<u64>(got) == end) return true;
  raw_syscall(__NR_munmap, got, more_bytes);  // kernels before 4.17 take the address as a hint
  return false;
}

i64 move(u64 from, u64 old_bytes, u64 new_bytes, u64 flags, u64 to, u32 protection) {
  const u64 place = (flags & MREMAP_FIXED) != 0 ? MAP_FIXED : 0;
  const i64 target = raw_syscall(__NR_mmap, place != 0 ? to : 0, new_bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | place, -1, 0);
  if (is_error(target)) return target;
  if ((protection & PROT_READ) == 0) raw_syscall(__NR_mprotect, from, old_bytes, protection | PROT_READ);
  memcpy(reinterpret_cast<void*>(target), reinterpret_cast<void*>(from), old_bytes < new_bytes ? old_bytes : new_bytes);
  if (protection != (PROT_READ | PROT_WRITE)) raw_syscall(__NR_mprotect, target, new_bytes, protection);
  if ((flags & MREMAP_DONTUNMAP) != 0) {
    raw_syscall(__NR_mmap, from, old_bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  } else {
    raw_syscall(__NR_munmap, from, old_bytes);
  }
  g_image_table.forget(from, from + old_bytes);
  return target;
}

u64 round_up(u64 bytes) { return (bytes + wire::kPageBytes - 1) & ~(wire::kPageBytes - 1); }

}  // namespace

i64 exact_mremap(u64 address, u64 old_length, u64 new_length, u64 flags, u64 new_address) {
  const auto plain = [&] { return raw_syscall(__NR_mremap, address, old_length, new_length, flags, new_address); };
  const u64 old_bytes = round_up(old_length), new_bytes = round_up(new_length);
  const u64 known_flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
  const bool fixed = (flags & MREMAP_FIXED) != 0, may_move = (flags & MREMAP_MAYMOVE) != 0;
  const bool dont_unmap = (flags & MREMAP_DONTUNMAP) != 0;
  const bool odd = address % wire::kPageBytes != 0 || old_bytes == 0 || new_bytes == 0 ||
                   address + old_bytes < address || (flags & ~known_flags) != 0 ||
                   ((fixed || dont_unmap) && !may_move) ||
                   (fixed && (new_address % wire::kPageBytes != 0 || new_address + new_bytes < new_address ||
                              (new_address < address + old_bytes && address < new_address + new_bytes))) ||
                   (dont_unmap && old_bytes != new_bytes);
  if (g_image_table.empty() || odd) return plain();

  if (!g_image_table.touches(address, address + old_bytes)) {
    // A restore may have laid one mapping of the program's down in pieces; the kernel answers EFAULT for more than one.
    const i64 result = plain();
    if (result != -EFAULT) return result;
  }
  const Span span = look_at(address, address + old_bytes);
  if (!span.uniform) return plain();
  if (!span.from_image) {
    const i64 result = plain();
    if (result != -EFAULT) return result;
  }

  if (!fixed && !dont_unmap) {
    if (new_bytes <= old_bytes) {
      if (new_bytes < old_bytes) raw_syscall(__NR_munmap, address + new_bytes, old_bytes - new_bytes);
      return static_cast<i64>(address);
    }
    if (grow_in_place(address + old_bytes, new_bytes - old_bytes, span.protection)) return static_cast<i64>(address);
    if (!may_move) return -ENOMEM;
  }
  return move(address, old_bytes, new_bytes, flags, new_address, span.protection);
}

}  // namespace stasis::runtime
