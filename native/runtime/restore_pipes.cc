// Pipes and FIFOs of a restored process: both ends at once, with the bytes and packets that were in flight. A FIFO's ends are opened by its
// name, while it is held open for both so that no open waits. An end that nobody has is closed when all is done (close_pipe_ends).
#include <linux/fcntl.h>

#include "runtime/restore.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::FdKind;
using wire::Step;

constexpr u32 kFdPathBytes = 40;

void set_capacity(i64 fd, const FdEntry& entry) {
  if (entry.capacity == 0) return;
  if (raw_syscall(__NR_fcntl, fd, F_GETPIPE_SZ, 0) == static_cast<i64>(entry.capacity)) return;
  must(raw_syscall(__NR_fcntl, fd, F_SETPIPE_SZ, entry.capacity), Step::CreatePipe, entry.image_fd);
}

i64 open_fifo(const FdEntry& entry, u32 flags) {
  const char* path = plan_text(entry.path);
  return must(raw_syscall(__NR_open, path, flags | O_NONBLOCK | O_CLOEXEC, 0), Step::OpenDescriptor, entry.image_fd, 0,
              path);
}

// Packets are written in packet mode (O_DIRECT), one by one; what is not a packet is `data` of the entry or a message with no
// sender.
void fill_packets(i64 fd, const FdEntry& entry) {
  const auto* all = plan_entries<wire::MessageEntry>(detail_of(entry).messages);
  for (u64 i = 0; i < detail_of(entry).messages.count; i++) {
    const u32 mode = O_NONBLOCK | (all[i].packet != 0 ? O_DIRECT : 0);
    must(raw_syscall(__NR_fcntl, fd, F_SETFL, mode), Step::FillPipe, entry.image_fd);
    fill(fd, all[i].data, all[i].bytes, Step::FillPipe, entry);
  }
  if (detail_of(entry).messages.count > 0)
    must(raw_syscall(__NR_fcntl, fd, F_SETFL, O_NONBLOCK), Step::FillPipe, entry.image_fd);
}

}  // namespace

void create_pipe(const FdEntry& entry) {
  i32 ends[2];
  i64 holder = -1;
  if ((detail_of(entry).ends & wire::kNeverWritten) != 0) {
    const i64 fd = open_fifo(entry, O_RDONLY);
    set_status_flags(fd, entry.flags, O_NONBLOCK, Step::CreatePipe, entry);
    return park(fd, entry.slot, entry);
  }
  // Non-blocking, so that bytes without room are an error and not a hang.
  if (entry.path != 0) {
    holder = open_fifo(entry, O_RDWR);
    ends[0] = static_cast<i32>(open_fifo(entry, O_RDONLY));
    ends[1] = static_cast<i32>(open_fifo(entry, O_WRONLY));
  } else {
    must(raw_syscall(__NR_pipe2, ends, O_CLOEXEC | O_NONBLOCK), Step::CreatePipe, entry.image_fd);
  }
  set_capacity(ends[1], entry);
  fill(ends[1], entry.data, entry.data_bytes, Step::FillPipe, entry);
  fill_packets(ends[1], entry);
  set_status_flags(ends[0], entry.flags, O_NONBLOCK, Step::CreatePipe, entry);
  set_status_flags(ends[1], entry.peer_flags, O_NONBLOCK, Step::CreatePipe, entry);
  park(ends[0], entry.slot, entry);
  park(ends[1], entry.peer_slot, entry);
  if (holder >= 0) raw_syscall(__NR_close, holder);
}

// Another description of what stands at peer_slot already: an end of a pipe, a file that has no name any more.
void reopen(const FdEntry& entry) {
  char path[kFdPathBytes];
  write_decimal(write_text(path, "/proc/self/fd/"), slot_fd(entry.peer_slot));
  const i64 fd = must(raw_syscall(__NR_open, path, entry.flags | O_NONBLOCK | O_CLOEXEC, 0), Step::OpenDescriptor,
                      entry.image_fd, 0, path);
  set_status_flags(fd, entry.flags, entry.flags | O_NONBLOCK, Step::OpenDescriptor, entry);
  if (entry.file_offset > 0)
    must(raw_syscall(__NR_lseek, fd, entry.file_offset, 0), Step::OpenDescriptor, entry.image_fd);
  park(fd, entry.slot, entry);
}

void close_pipe_ends() {
  const auto* entries = plan_entries<FdEntry>(group().fds);
  for (u64 i = 0; i < group().fds.count; i++) {
    if (entries[i].kind != FdKind::Pipe) continue;
    if ((detail_of(entries[i]).ends & wire::kEndClosed) != 0) raw_syscall(__NR_close, slot_fd(entries[i].slot));
    if ((detail_of(entries[i]).ends & wire::kPeerClosed) != 0) raw_syscall(__NR_close, slot_fd(entries[i].peer_slot));
  }
}

}  // namespace stasis::runtime
