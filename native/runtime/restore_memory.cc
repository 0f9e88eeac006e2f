// Memory of a restored process: mmap by mmap as the plan has it, in ascending order and with final protections.
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/stat.h>
#include <linux/uio.h>

#include "runtime/memory.h"
#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::FileEntry;
using wire::MapEntry;
using wire::MapKind;
using wire::Step;

constexpr u32 kReadBatch = 64;

const FileEntry& file_of(const MapEntry& entry) { return plan_entries<FileEntry>(plan().files)[entry.file]; }

i64 map(const MapEntry& entry, u32 protection, u32 flags, i64 fd) {
  return raw_syscall(__NR_mmap, entry.address, entry.length, protection, entry.flags | MAP_FIXED | flags, fd,
                     fd < 0 ? 0 : entry.file_offset);
}

// Copies consecutive entries that are consecutive in the file too with one call. Returns how many it took.
u64 copy_pages(const MapEntry* entries, u64 count) {
  iovec pieces[kReadBatch];
  u64 taken = 0, bytes = 0;
  const MapEntry& first = entries[0];
  while (taken < count && taken < kReadBatch && entries[taken].kind == MapKind::Copy &&
         entries[taken].file == first.file && entries[taken].file_offset == first.file_offset + bytes) {
    pieces[taken].iov_base = reinterpret_cast<void*>(entries[taken].address);
    pieces[taken].iov_len = entries[taken].length;
    bytes += entries[taken].length;
    taken++;
  }
  u64 next = 0, done = 0;
  while (done < bytes) {
    i64 got = raw_syscall(__NR_preadv, first.file, pieces + next, taken - next, first.file_offset + done, 0);
    if (got == 0) got = -ENODATA;
    must(got, Step::ReadPages, reinterpret_cast<u64>(pieces[next].iov_base), pieces[next].iov_len,
         plan_text(file_of(first).path));
    done += static_cast<u64>(got);
    auto left = static_cast<u64>(got);
    while (next < taken && left >= pieces[next].iov_len) left -= pieces[next++].iov_len;
    if (left > 0) {
      pieces[next].iov_base = static_cast<u8*>(pieces[next].iov_base) + left;
      pieces[next].iov_len -= left;
    }
  }
  return taken;
}

// mmap(2): EPERM for PROT_EXEC on a file system mounted noexec. The pages become plain anonymous memory.
void copy_executable(const MapEntry& entry) {
  const char* path = plan_text(file_of(entry).path);
  must(map(entry, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1), Step::MapMemory, entry.address, entry.length, path);
  MapEntry copy = entry;
  copy.kind = MapKind::Copy;
  copy_pages(&copy, 1);
  must(raw_syscall(__NR_mprotect, entry.address, entry.length, entry.protection), Step::ProtectMemory, entry.address,
       entry.length);
}

void map_file(const MapEntry& entry) {
  const i64 result = map(entry, entry.protection, 0, entry.file);
  if (result == -EPERM && entry.kind == MapKind::Image && (entry.protection & PROT_EXEC) != 0) {
    copy_executable(entry);
  } else {
    must(result, Step::MapMemory, entry.address, entry.length, plan_text(file_of(entry).path));
  }
}

// Hints may be refused where a kernel was built without what they ask for; what the program can observe may not.
bool is_hint(u64 advice) {
  return advice == MADV_HUGEPAGE || advice == MADV_NOHUGEPAGE || advice == MADV_MERGEABLE ||
         advice == MADV_SEQUENTIAL || advice == MADV_RANDOM;
}

void advise(const MapEntry& entry) {
  const i64 result = raw_syscall(__NR_madvise, entry.address, entry.length, entry.file_offset);
  if (result == -ENOMEM) return;  // holes between mappings; the others have taken the advice
  if (result == -EINVAL && is_hint(entry.file_offset)) return;
  must(result, Step::AdviseMemory, entry.address, entry.length);
}

// Returns how many entries were worked through.
u64 apply(const MapEntry* entries, u64 count) {
  const MapEntry& entry = entries[0];
  switch (entry.kind) {
    case MapKind::Anonymous:
      must(map(entry, entry.protection, MAP_ANONYMOUS, -1), Step::MapMemory, entry.address, entry.length);
      break;
    case MapKind::File:
    case MapKind::Image:
      map_file(entry);
      break;
    case MapKind::Copy:
      return copy_pages(entries, count);
    case MapKind::Protect:
      must(raw_syscall(__NR_mprotect, entry.address, entry.length, entry.protection), Step::ProtectMemory,
           entry.address, entry.length);
      break;
    case MapKind::Advise:
      advise(entry);
      break;
    case MapKind::Segment:
      must(map(entry, entry.protection, 0, static_cast<i64>(slot_fd(entry.file))), Step::MapMemory, entry.address,
           entry.length);
      break;
    case MapKind::Attach:
      attach_segment(entry);
      break;
    case MapKind::Lock:
      must(raw_syscall(__NR_mlock, entry.address, entry.length), Step::LockMemory, entry.address, entry.length);
      break;
  }
  return 1;
}

}  // namespace

void open_files(const FileEntry* files, u64 count) {
  for (u64 i = 0; i < count; i++) {
    const char* path = plan_text(files[i].path);
    const i64 fd = must(raw_syscall(__NR_open, path, files[i].open_flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0),
                        Step::OpenFile, i, 0, path);
    struct stat status;
    must(raw_syscall(__NR_fstat, fd, &status), Step::OpenFile, i, 0, path);
    if (fd != static_cast<i64>(i)) report_fail(Step::OpenFile, EBADF, i, 0, path);
    if (status.st_dev != files[i].device || status.st_ino != files[i].inode)
      report_fail(Step::CheckFile, 0, i, 0, path);
  }
}

void close_files(u64 count) {
  if (count > 0) raw_syscall(__NR_close_range, 0, count - 1, 0);
}

void open_mapped_files() { open_files(plan_entries<FileEntry>(plan().files), plan().files.count); }

void map_memory() {
  const auto* entries = plan_entries<MapEntry>(plan().maps);
  u64 calls = 0;
  for (u64 i = 0; i < plan().maps.count; calls++) i += apply(entries + i, plan().maps.count - i);
  if (report_page() != nullptr && task_index() == 0) report_page()->map_calls = calls;
  close_files(plan().files.count);
}

void keep_image_semantics() {
  const auto* files = plan_entries<FileEntry>(plan().files);
  wire::PageFileIdentity page_files[wire::kMaxPageFiles];
  u32 count = 0;
  for (u64 i = 0; i < plan().files.count; i++) {
    if (files[i].page_file != 0 && count < wire::kMaxPageFiles) page_files[count++] = {files[i].device, files[i].inode};
  }
  must(set_image_ranges(plan_entries<wire::ImageRange>(plan().image_ranges), plan().image_ranges.count,
                        plan().image_pages, page_files, count),
       Step::MapMemory, wire::kImageTableBase);
}

}  // namespace stasis::runtime
