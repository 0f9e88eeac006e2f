// TCP connections of a restored process whose both ends are its own, or whose other end is gone: made anew over the loopback device, with
// the addresses they had, by a listener that exists for that alone.
//
// The sockets carry SO_REUSEADDR until all stand, so that many connections and a listener can share a port; a listener of
// the program's on that port is made after its connections.
#include <linux/fcntl.h>

#include "runtime/restore_sockets.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::Step;

constexpr u32 kBufferLock = 72;              // SO_BUF_LOCK, 5.14
constexpr u64 kSmallQueue = 32768;           // fits into any connection's buffers
constexpr u16 kReadable = 1, kWritable = 4;  // POLLIN, POLLOUT
constexpr i32 kPatienceMs = 5000;
constexpr u32 kInet4Bytes = 16, kInet6Bytes = 28;  // sizeof sockaddr_in, sockaddr_in6
constexpr u32 kAddress4 = 4, kAddress6 = 8;        // where the address is in them

bool wait_for(i64 fd, u16 events) {
  struct {
    i32 fd;
    u16 events, got;
  } query = {static_cast<i32>(fd), events, 0};
  return raw_syscall(__NR_poll, &query, 1, kPatienceMs) > 0;
}

// What waits at the receiver and what its sender could not send yet are one queue: the receiver gets as much of it as its
// buffer takes, the rest waits at the sender again.
void make_rooms(i64 receiver, i64 sender, u64 bytes) {
  if (bytes <= kSmallQueue) return;
  make_room(receiver, kReceiveBuffer, bytes);
  if (sender >= 0) make_room(sender, kSendBuffer, bytes);
}

// The kernel sizes the buffers by itself again.
void release_rooms(i64 fd) {
  const u32 none = 0;
  raw_syscall(__NR_setsockopt, fd, kLevelSocket, kBufferLock, &none, sizeof none);
}

void send_all(i64 fd, u64 data, u64 bytes, const FdEntry& entry) {
  u64 from = wire::kPlanBase + data;
  while (bytes > 0) {
    const i64 sent = raw_syscall(__NR_write, fd, from, bytes);
    if (sent == -EAGAIN && wait_for(fd, kWritable)) continue;
    from += static_cast<u64>(must(sent, Step::FillSocketPair, entry.image_fd));
    bytes -= static_cast<u64>(sent);
  }
}

// Without an address: the loopback one, with any port.
i64 bound_socket(const u8* address, u32 bytes, const FdEntry& entry) {
  const u32 family = bytes != 0 ? address[0] : entry.family;
  const i64 fd = must(raw_syscall(__NR_socket, family, kStreamSocket | O_CLOEXEC | O_NONBLOCK, 0), Step::CreateSocket,
                      entry.image_fd);
  set_flag(fd, kLevelSocket, kReuseAddress, true, entry);
  u8 any[kInet6Bytes] = {static_cast<u8>(family)};
  if (family == kFamilyInet) {
    any[kAddress4] = 127, any[kAddress4 + 3] = 1;
  } else {
    any[kAddress6 + 15] = 1;
  }
  const i64 bound = bytes != 0 ? raw_syscall(__NR_bind, fd, address, bytes)
                               : raw_syscall(__NR_bind, fd, any, family == kFamilyInet ? kInet4Bytes : kInet6Bytes);
  must(bound, Step::BindSocket, entry.image_fd, 0, plan_text(entry.path));
  return fd;
}

// The address as a socket of `family` connects to it: IPv4 has a form in IPv6.
void convert(u8 (&address)[112], u32& bytes, u32 family) {
  if (address[0] == family) return;
  u8 other[kInet6Bytes] = {static_cast<u8>(family), 0, address[2], address[3]};
  if (family == kFamilyInet) {
    memcpy(other + kAddress4, address + kAddress6 + 12, 4);
    bytes = kInet4Bytes;
  } else {
    other[kAddress6 + 10] = other[kAddress6 + 11] = 0xff;
    memcpy(other + kAddress6 + 12, address + kAddress4, 4);
    bytes = kInet6Bytes;
  }
  memcpy(address, other, bytes);
}

}  // namespace

void create_tcp(const FdEntry& entry) {
  const wire::FdDetail& detail = detail_of(entry);
  const char* text = plan_text(entry.path);
  const i64 listener = bound_socket(detail.peer_address, detail.peer_address_bytes, entry);
  make_rooms(listener, -1, entry.peer_data_bytes);  // accepted sockets inherit it, and the window depends on it
  must(raw_syscall(__NR_listen, listener, 1), Step::ListenSocket, entry.image_fd, 0, text);
  u8 to[sizeof detail.peer_address];
  u32 to_bytes = sizeof to;
  must(raw_syscall(__NR_getsockname, listener, to, &to_bytes), Step::BindSocket, entry.image_fd, 0, text);
  const i64 first = bound_socket(entry.address, entry.address_bytes, entry);
  if (entry.address_bytes != 0) convert(to, to_bytes, entry.address[0]);
  make_rooms(first, -1, entry.data_bytes);
  i64 result = raw_syscall(__NR_connect, first, to, to_bytes);
  if (result == -EINPROGRESS && wait_for(first, kWritable)) result = raw_syscall(__NR_connect, first, to, to_bytes);
  must(result == -EISCONN ? 0 : result, Step::ConnectSocket, entry.image_fd, 0, text);
  wait_for(listener, kReadable);
  const i64 second = must(raw_syscall(__NR_accept4, listener, nullptr, nullptr, O_CLOEXEC | O_NONBLOCK),
                          Step::ConnectSocket, entry.image_fd, 0, text);
  raw_syscall(__NR_close, listener);
  make_rooms(first, second, entry.data_bytes);
  make_rooms(second, first, entry.peer_data_bytes);
  send_all(second, entry.data, entry.data_bytes, entry);
  send_all(first, entry.peer_data, entry.peer_data_bytes, entry);
  if (entry.data_bytes > kSmallQueue || entry.peer_data_bytes > kSmallQueue) {
    release_rooms(first);
    release_rooms(second);
  }
  set_status_flags(first, entry.flags, O_NONBLOCK, Step::CreateSocket, entry);
  set_status_flags(second, entry.peer_flags, O_NONBLOCK, Step::CreateSocket, entry);
  park(first, entry.slot, entry);
  park(second, entry.peer_slot, entry);
}

}  // namespace stasis::runtime
