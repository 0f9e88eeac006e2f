// Memory that processes share: for each segment a memfd, whose descriptor is parked like others until the processes
// have mapped it. The first process fills them after the forks, while the others map their own memory.
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>

#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::FileEntry;
using wire::SegmentEntry;
using wire::SegmentPiece;
using wire::Step;

constexpr u64 kMostAtOnce = 64 << 20;
constexpr u32 kFutureWrite = 0x10;  // F_SEAL_FUTURE_WRITE, 5.1

// Seals that forbid new writable mappings, and so wait for those of all processes. What the plan of the group says is gone by then.
struct LateSeals {
  u64 fd, bytes;
  u32 seals;
};
constexpr u64 kMostLateSeals = 64;
LateSeals g_late_seals[kMostLateSeals];
u64 g_late_seal_count;

void create_segment(const SegmentEntry& segment) {
  const char* name = plan_text(segment.name);
  // A file system that cannot hold files without a name gets none: memory is in its place.
  i64 fd = segment.directory != 0 ? open_unnamed(plan_text(segment.directory), segment.mode) : -ENOENT;
  if (is_error(fd)) fd = raw_syscall(__NR_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  must(fd, Step::MakeSegment, 0, segment.bytes, name);
  must(raw_syscall(__NR_ftruncate, fd, segment.bytes), Step::MakeSegment, 0, segment.bytes, name);
  must(raw_syscall(__NR_dup3, fd, slot_fd(segment.slot), O_CLOEXEC), Step::MakeSegment, 0, segment.bytes, name);
  raw_syscall(__NR_close, fd);
}

// By a mapping of the file, whose pages are then copied once, and written: pages of the segment are made without being
// cleared first, and without a fault each.
void fill_piece(const SegmentEntry& segment, const SegmentPiece& piece) {
  const char* name = plan_text(segment.name);
  for (u64 done = 0; done < piece.length;) {
    const u64 left = piece.length - done, bytes = left < kMostAtOnce ? left : kMostAtOnce;
    const i64 from = must(
        raw_syscall(__NR_mmap, 0, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, piece.file, piece.file_offset + done),
        Step::FillSegment, 0, bytes, name);
    for (u64 written = 0; written < bytes;) {
      const i64 result = must(raw_syscall(__NR_pwrite64, slot_fd(segment.slot), from + static_cast<i64>(written),
                                          bytes - written, piece.offset + done + written),
                              Step::FillSegment, 0, bytes, name);
      written += static_cast<u64>(result);
    }
    raw_syscall(__NR_munmap, from, bytes);
    done += bytes;
  }
}

}  // namespace

void create_segments() {
  const auto* segments = plan_entries<SegmentEntry>(group().segments);
  for (u64 i = 0; i < group().segments.count; i++) create_segment(segments[i]);
}

void fill_segments() {
  if (group().segments.count == 0 && group().system_v.count == 0) return;
  open_files(plan_entries<FileEntry>(group().files), group().files.count);
  const auto* segments = plan_entries<SegmentEntry>(group().segments);
  for (u64 i = 0; i < group().segments.count; i++) {
    const auto* pieces = plan_entries<SegmentPiece>(segments[i].pieces);
    for (u64 k = 0; k < segments[i].pieces.count; k++) fill_piece(segments[i], pieces[k]);
    const char* name = plan_text(segments[i].name);
    if ((segments[i].seals & kFutureWrite) != 0) {
      if (g_late_seal_count == kMostLateSeals) report_fail(Step::FillSegment, ENOSPC, 0, segments[i].bytes, name);
      g_late_seals[g_late_seal_count++] = {slot_fd(segments[i].slot), segments[i].bytes, segments[i].seals};
    } else if (segments[i].seals != 0) {
      must(raw_syscall(__NR_fcntl, slot_fd(segments[i].slot), F_ADD_SEALS, segments[i].seals), Step::FillSegment, 0,
           segments[i].bytes, name);
    }
  }
  fill_system_v();
  close_files(group().files.count);
}

void seal_segments() {
  arrive(wire::Meeting::Mapped);
  if (g_late_seal_count == 0) return;
  wait_for(wire::Meeting::Mapped);
  for (u64 i = 0; i < g_late_seal_count; i++) {
    must(raw_syscall(__NR_fcntl, g_late_seals[i].fd, F_ADD_SEALS, g_late_seals[i].seals), Step::FillSegment, 0,
         g_late_seals[i].bytes, "");
  }
}

}  // namespace stasis::runtime
