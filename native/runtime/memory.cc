// madvise on memory that is mapped from an image. The kernel sees private file mappings where the program sees anonymous memory, so
// what would free anonymous pages brings the image's bytes back instead. Each call is split along the kernel's mappings, in ascending
// order as the kernel itself walks them; pieces that come from an image are corrected, all others get the call as it is.
//
// What a fresh anonymous piece loses: advice given to the range before (DONTFORK, DONTDUMP, HUGEPAGE) and mlock. The first three change
// no byte that the program can see.
#include "runtime/memory.h"

#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/stat.h>

#include "runtime/fast_call.h"
#include "runtime/image_table.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"
#include "wire/layout.h"

namespace stasis::runtime {

namespace {

constexpr u64 kGuardInstall = 102;   // MADV_GUARD_INSTALL, kernel 6.13
constexpr u64 kDontNeedLocked = 24;  // MADV_DONTNEED_LOCKED, kernel 5.18

// Up to here zeros are written into the pages; above, fresh memory is mapped. A mapping costs about as much as clearing 16 pages, and
// every one that is replaced splits another: programs that give back many small pieces would reach vm.max_map_count.
constexpr u64 kZeroFillMaxBytes = 16 * wire::kPageBytes;

i64 map_anonymous(u64 begin, u64 end, u32 protection) {
  const i64 result = raw_syscall(__NR_mmap, begin, end - begin, protection,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  if (is_error(result)) return result;
  g_image_table.forget(begin, end);
  return 0;
}

// Changed pages of a private file mapping: giving them up brings the file's own bytes back.
i64 map_backing_file(u64 begin, u64 end, u32 protection, const wire::ImageRange& range) {
  const auto* plan = reinterpret_cast<const wire::Plan*>(wire::kPlanBase);
  const auto& file = reinterpret_cast<const wire::FileEntry*>(wire::kPlanBase + plan->files.offset)[range.backing];
  const auto* path = reinterpret_cast<const char*>(wire::kPlanBase + file.path);
  const i64 fd = raw_syscall(__NR_openat, AT_FDCWD, path, file.open_flags | O_CLOEXEC, 0);
  if (fd < 0) return -EIO;
  const u64 offset = range.backing_offset + (begin - range.address);
  const i64 result = raw_syscall(__NR_mmap, begin, end - begin, protection, MAP_PRIVATE | MAP_FIXED, fd, offset);
  raw_syscall(__NR_close, fd);
  if (is_error(result)) return -EIO;
  g_image_table.forget(begin, end);
  return 0;
}

i64 discard(u64 begin, u64 end, u32 protection, u64 advice) {
  const wire::ImageRange* range = g_image_table.range_at(begin);
  if (range != nullptr && range->backing != wire::kNoFile) {
    return advice == MADV_FREE ? -EINVAL : map_backing_file(begin, end, protection, *range);
  }
  const bool small = end - begin <= kZeroFillMaxBytes;
  // MADV_FREE promises old bytes or zeros: small pieces keep what they have.
  if (advice == MADV_FREE && small) return 0;
  if (small && (protection & PROT_WRITE) != 0 && advice != kGuardInstall) {
    memset(reinterpret_cast<void*>(begin), 0, end - begin);
    return 0;
  }
  const i64 result = map_anonymous(begin, end, protection);
  if (result == 0 && advice == kGuardInstall) return raw_syscall(__NR_madvise, begin, end - begin, advice);
  return result;
}

// MADV_WIPEONFORK is refused for file mappings (mm/madvise.c), so the piece becomes anonymous memory with the same bytes first.
i64 keep_as_anonymous(u64 begin, u64 end, u32 protection) {
  const u64 bytes = end - begin;
  const i64 copy = raw_syscall(__NR_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (is_error(copy)) return copy;
  if ((protection & PROT_READ) == 0) raw_syscall(__NR_mprotect, begin, bytes, protection | PROT_READ);
  memcpy(reinterpret_cast<void*>(copy), reinterpret_cast<void*>(begin), bytes);
  raw_syscall(__NR_mprotect, copy, bytes, protection);
  const i64 moved = raw_syscall(__NR_mremap, copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, begin);
  if (is_error(moved)) {
    raw_syscall(__NR_munmap, copy, bytes);
    return moved;
  }
  g_image_table.forget(begin, end);
  return 0;
}

i64 advise_image(u64 begin, u64 end, u32 protection, u64 advice) {
  switch (advice) {
    case MADV_REMOVE: {
      // Anonymous memory answers EINVAL, private file memory EACCES (madvise(2)).
      const i64 result = raw_syscall(__NR_madvise, begin, end - begin, advice);
      return result == -EACCES ? -EINVAL : result;
    }
    case MADV_WIPEONFORK: {
      const i64 result = keep_as_anonymous(begin, end, protection);
      return result < 0 ? result : raw_syscall(__NR_madvise, begin, end - begin, advice);
    }
    default:
      return discard(begin, end, protection, advice);
  }
}

bool needs_care(u64 advice) {
  switch (advice) {
    case MADV_DONTNEED:
    case kDontNeedLocked:
    case MADV_FREE:
    case MADV_REMOVE:
    case MADV_WIPEONFORK:
    case kGuardInstall:
      return true;
    default:
      return false;
  }
}

u64 end_of(u64 address, u64 length) { return address + ((length + wire::kPageBytes - 1) & ~(wire::kPageBytes - 1)); }

bool may_touch_image(u64 address, u64 length, u64 advice) {
  const u64 end = end_of(address, length);
  return !g_image_table.empty() && needs_care(advice) && address % wire::kPageBytes == 0 && end > address &&
         g_image_table.touches(address, end);
}

i64 advise_pieces(u64 address, u64 length, u64 advice) {
  const u64 end = end_of(address, length);
  MappingQuery query;
  if (!query.ok()) return -ENOMEM;  // no fd to be had: giving memory back may fail, wrong bytes may not appear
  i64 hole = 0;
  for (u64 at = address; at < end;) {
    MappingInfo info;
    if (!query.find(at, &info) || info.begin >= end) {
      hole = -ENOMEM;  // as the kernel: the rest is advised, then ENOMEM is returned
      break;
    }
    if (info.begin > at) hole = -ENOMEM;
    const u64 begin = info.begin > at ? info.begin : at;
    u64 stop = info.end < end ? info.end : end;
    i64 result;
    if (g_image_table.is_image(info)) {
      // A neighbouring range may have been merged into this mapping by the kernel; one range at a time keeps its backing right.
      const wire::ImageRange* range = g_image_table.range_at(begin);
      if (range != nullptr && range->address + range->length < stop) stop = range->address + range->length;
      result = advise_image(begin, stop, info.protection, advice);
    } else {
      g_image_table.forget(begin, stop);
      result = raw_syscall(__NR_madvise, begin, stop - begin, advice);
    }
    if (result < 0) return result;
    at = stop;
  }
  return hole;
}

}  // namespace

i64 trapped_memory_call(Trap& trap) {
  const u64* arguments = trap.arguments;
  switch (trap.number) {
    case __NR_madvise:
      if (!may_touch_image(arguments[0], arguments[1], arguments[2])) return issue_once(trap);
      give_up_fast_call();
      return advise_pieces(arguments[0], arguments[1], arguments[2]);
    case __NR_mremap:
      return exact_mremap(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]);
    default:
      // process_madvise takes advice that gives memory back since 6.13, for the caller's own memory only. Older kernels answer EINVAL,
      // and callers then use madvise.
      if (!g_image_table.empty() && needs_care(arguments[3])) return -EINVAL;
      return raw_syscall(static_cast<i64>(trap.number), arguments[0], arguments[1], arguments[2], arguments[3],
                         arguments[4]);
  }
}

}  // namespace stasis::runtime
