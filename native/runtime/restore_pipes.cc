// Pipes and socket pairs of a restored process: both ends at once, with the bytes that were in flight.
#include <linux/fcntl.h>

#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::Step;

constexpr u32 kFamilyUnix = 1;          // AF_UNIX
constexpr u32 kSocketLevel = 1;         // SOL_SOCKET
constexpr u32 kSendBuffer = 7;          // SO_SNDBUF
constexpr u32 kStreamSocket = 1;        // SOCK_STREAM
constexpr u32 kMessageOverhead = 1024;  // of one queued buffer; the kernel doubles what is asked for (socket(7))

void set_capacity(i64 fd, const FdEntry& entry) {
  if (entry.capacity == 0) return;
  if (raw_syscall(__NR_fcntl, fd, F_GETPIPE_SZ, 0) == static_cast<i64>(entry.capacity)) return;
  must(raw_syscall(__NR_fcntl, fd, F_SETPIPE_SZ, entry.capacity), Step::CreatePipe, entry.image_fd);
}

// Queues bytes for the other end. The image may hold more than the buffer that a fresh socket has.
void queue(i64 fd, u64 data, u64 bytes, const FdEntry& entry) {
  if (bytes == 0) return;
  i32 room = 0;
  u32 room_bytes = sizeof room;
  raw_syscall(__NR_getsockopt, fd, kSocketLevel, kSendBuffer, &room, &room_bytes);
  if (static_cast<u64>(room) < 2 * bytes + kMessageOverhead) {
    const i32 wanted = static_cast<i32>(bytes + kMessageOverhead);
    raw_syscall(__NR_setsockopt, fd, kSocketLevel, kSendBuffer, &wanted, sizeof wanted);
  }
  fill(fd, data, bytes, Step::FillSocketPair, entry);
  if (static_cast<u64>(room) < 2 * bytes + kMessageOverhead) {
    const i32 before = room / 2;
    raw_syscall(__NR_setsockopt, fd, kSocketLevel, kSendBuffer, &before, sizeof before);
  }
}

}  // namespace

void create_pipe(const FdEntry& entry) {
  i32 ends[2];
  // Made non-blocking, so that bytes without room are an error and not a hang.
  const u32 mode = O_CLOEXEC | O_NONBLOCK | (entry.peer_flags & O_DIRECT);
  must(raw_syscall(__NR_pipe2, ends, mode), Step::CreatePipe, entry.image_fd);
  set_capacity(ends[1], entry);
  fill(ends[1], entry.data, entry.data_bytes, Step::FillPipe, entry);
  set_status_flags(ends[0], entry.flags, mode, Step::CreatePipe, entry);
  set_status_flags(ends[1], entry.peer_flags, mode, Step::CreatePipe, entry);
  park(ends[0], entry.slot, entry);
  park(ends[1], entry.peer_slot, entry);
}

void create_socket_pair(const FdEntry& entry) {
  i32 ends[2];
  must(raw_syscall(__NR_socketpair, kFamilyUnix, entry.type | O_CLOEXEC | O_NONBLOCK, 0, ends), Step::CreateSocketPair,
       entry.image_fd);
  if (entry.type == kStreamSocket) {
    queue(ends[1], entry.data, entry.data_bytes, entry);
    queue(ends[0], entry.peer_data, entry.peer_data_bytes, entry);
  }
  set_status_flags(ends[0], entry.flags, O_NONBLOCK, Step::CreateSocketPair, entry);
  set_status_flags(ends[1], entry.peer_flags, O_NONBLOCK, Step::CreateSocketPair, entry);
  park(ends[0], entry.slot, entry);
  park(ends[1], entry.peer_slot, entry);
}

}  // namespace stasis::runtime
