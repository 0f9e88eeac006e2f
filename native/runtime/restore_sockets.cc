// Sockets of a restored process: names, options, listeners, and the order of it all (restore_sockets.h).
#include "runtime/restore_sockets.h"

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::FdKind;
using wire::Step;

constexpr u32 kLevelTcp = 6, kLevelInet6 = 41;        // IPPROTO_*
constexpr u32 kKeepAlive = 9, kPassCredentials = 16;  // SO_*
constexpr u32 kNoDelay = 1;                           // TCP_NODELAY
constexpr u32 kV6Only = 26;                           // IPV6_V6ONLY
constexpr u32 kFamilyBytes = 2;                       // of sockaddr_un, before the path
constexpr u32 kPathBytes = sizeof(FdEntry::address) + 1;
constexpr u32 kMessageOverhead = 1024;  // of one queued buffer; the kernel doubles what is asked for (socket(7))
constexpr u32 kCurrent = 0xffffff9c;    // AT_FDCWD

void set_options_before_bind(i64 fd, const FdEntry& entry) {
  // Connections of the stopped process may linger in TIME_WAIT on the port; they do not keep a socket with this option
  // from binding, listeners do. What the program had is put back below.
  const bool is_unix = entry.family == kFamilyUnix;
  if (!is_unix || (entry.option & wire::kSocketReuseAddress) != 0)
    set_flag(fd, kLevelSocket, kReuseAddress, true, entry);
  if ((entry.option & wire::kSocketReusePort) != 0) set_flag(fd, kLevelSocket, kReusePort, true, entry);
  if (entry.family == kFamilyInet6)
    set_flag(fd, kLevelInet6, kV6Only, (entry.option & wire::kSocketV6Only) != 0, entry);
}

void set_options_after_listen(i64 fd, const FdEntry& entry) {
  if ((entry.option & wire::kSocketKeepAlive) != 0) set_flag(fd, kLevelSocket, kKeepAlive, true, entry);
  if ((entry.option & wire::kSocketNoDelay) != 0) set_flag(fd, kLevelTcp, kNoDelay, true, entry);
  if ((entry.option & wire::kSocketPassCred) != 0) set_flag(fd, kLevelSocket, kPassCredentials, true, entry);
}

bool copy_path(const u8* address, u32 bytes, char (&path)[kPathBytes]) {
  if (!is_path(address, bytes)) return false;
  memcpy(path, address + kFamilyBytes, bytes - kFamilyBytes);
  path[bytes - kFamilyBytes] = 0;
  return true;
}

bool is_socket(FdKind kind) {
  return kind == FdKind::SocketPair || kind == FdKind::Listen || kind == FdKind::Socket || kind == FdKind::Tcp ||
         kind == FdKind::Held;
}

void shut_down(u32 slot, u32 bits, const FdEntry& entry) {
  if (bits == 0) return;
  const i64 result = raw_syscall(__NR_shutdown, slot_fd(slot), bits - 1);
  // A connection whose other end was shut down in both directions has ended by itself.
  if (result != -ENOTCONN) must(result, Step::CreateSocket, entry.image_fd);
}

void close_end(u32 slot, bool reset) {
  if (reset) {
    const i32 at_once[2] = {1, 0};  // struct linger
    raw_syscall(__NR_setsockopt, slot_fd(slot), kLevelSocket, kLinger, at_once, sizeof at_once);
  }
  raw_syscall(__NR_close, slot_fd(slot));
}

void finish(const FdEntry& entry) {
  if (entry.slot != wire::kNoSlot) {
    shut_down(entry.slot, detail_of(entry).shutdown, entry);
    set_options(slot_fd(entry.slot), detail_of(entry).options, entry);
  }
  if (entry.peer_slot != wire::kNoSlot) {
    shut_down(entry.peer_slot, detail_of(entry).peer_shutdown, entry);
    set_options(slot_fd(entry.peer_slot), detail_of(entry).peer_options, entry);
  }
  if ((detail_of(entry).ends & wire::kEndClosed) != 0) close_end(entry.slot, false);
  if ((detail_of(entry).ends & wire::kPeerClosed) != 0)
    close_end(entry.peer_slot, (detail_of(entry).ends & wire::kPeerReset) != 0);
}

// Relative names count from where the program was.
i64 in_directory_of(const FdEntry& entry) {
  if (detail_of(entry).directory == 0) return -1;
  const i64 here = raw_syscall(__NR_openat, kCurrent, ".", O_PATH | O_CLOEXEC, 0);
  must(raw_syscall(__NR_chdir, plan_text(detail_of(entry).directory)), Step::BindSocket, entry.image_fd, 0,
       plan_text(detail_of(entry).directory));
  return here;
}

void go_back(i64 directory) {
  if (is_error(directory)) return;
  raw_syscall(__NR_fchdir, directory);
  raw_syscall(__NR_close, directory);
}

// A socket's file that nobody listens at or receives from is removed: a listener, a bound socket of another type and a full
// backlog all answer otherwise than ECONNREFUSED (unix(7)). True if it was.
bool unlink_stale(const u8* address, u32 bytes, u32 type) {
  char path[kPathBytes];
  if (!copy_path(address, bytes, path)) return false;
  struct stat status;
  if (is_error(raw_syscall(__NR_lstat, path, &status)) || (status.st_mode & S_IFMT) != S_IFSOCK) return false;
  const i64 probe = raw_syscall(__NR_socket, kFamilyUnix, type | O_CLOEXEC | O_NONBLOCK, 0);
  if (is_error(probe)) return false;
  const i64 answer = raw_syscall(__NR_connect, probe, address, bytes);
  raw_syscall(__NR_close, probe);
  return answer == -ECONNREFUSED && raw_syscall(__NR_unlink, path) == 0;
}

}  // namespace

void set_flag(i64 fd, u32 level, u32 option, bool on, const FdEntry& entry) {
  const i32 value = on;
  must(raw_syscall(__NR_setsockopt, fd, level, option, &value, sizeof value), Step::CreateSocket, entry.image_fd, 0,
       plan_text(entry.path));
}

void set_options(i64 fd, const wire::Array& options, const FdEntry& entry, bool before_bind) {
  const auto* all = plan_entries<wire::SocketOptionEntry>(options);
  for (u64 i = 0; i < options.count; i++) {
    // Cannot be changed once there is an address, and was set before.
    if (!before_bind && all[i].level == kLevelInet6 && all[i].name == kV6Only) continue;
    const i64 result =
        raw_syscall(__NR_setsockopt, fd, all[i].level, all[i].name, plan_text(all[i].value), all[i].bytes);
    // What this user may not set, or this kernel does not have, is a preference.
    if (result == -EPERM || result == -EACCES || result == -ENOPROTOOPT || result == -ENOENT) continue;
    must(result, Step::CreateSocket, entry.image_fd, all[i].name);
  }
}

bool is_path(const u8* address, u32 bytes) {
  return bytes > kFamilyBytes && address[0] == kFamilyUnix && address[1] == 0 && address[kFamilyBytes] != 0;
}

i64 bind_name(i64 fd, const u8* address, u32 bytes, const FdEntry& entry) {
  const i64 back = in_directory_of(entry);
  i64 bound = raw_syscall(__NR_bind, fd, address, bytes);
  if (bound == -EADDRINUSE && unlink_stale(address, bytes, entry.type))
    bound = raw_syscall(__NR_bind, fd, address, bytes);
  go_back(back);
  return bound;
}

i64 connect_name(i64 fd, const u8* address, u32 bytes, const FdEntry& entry) {
  const i64 back = in_directory_of(entry);
  const i64 connected = raw_syscall(__NR_connect, fd, address, bytes);
  go_back(back);
  return connected;
}

void unlink_name(const u8* address, u32 bytes, const FdEntry& entry) {
  char path[kPathBytes];
  if (!copy_path(address, bytes, path)) return;
  const i64 back = in_directory_of(entry);
  raw_syscall(__NR_unlink, path);
  go_back(back);
}

void make_room(i64 fd, u32 option, u64 bytes) {
  i32 room = 0;
  u32 room_bytes = sizeof room;
  raw_syscall(__NR_getsockopt, fd, kLevelSocket, option, &room, &room_bytes);
  if (static_cast<u64>(room) >= 2 * bytes + kMessageOverhead) return;
  const i32 wanted = static_cast<i32>(bytes + kMessageOverhead);
  raw_syscall(__NR_setsockopt, fd, kLevelSocket, option, &wanted, sizeof wanted);
}

void create_listener(const FdEntry& entry) {
  const char* text = plan_text(entry.path);
  const u32 mode = O_CLOEXEC | (entry.flags & O_NONBLOCK);
  const i64 fd = must(raw_syscall(__NR_socket, entry.family, entry.type | mode, entry.protocol), Step::CreateSocket,
                      entry.image_fd, 0, text);
  set_options_before_bind(fd, entry);
  must(bind_name(fd, entry.address, entry.address_bytes, entry), Step::BindSocket, entry.image_fd, 0, text);
  must(raw_syscall(__NR_listen, fd, entry.capacity), Step::ListenSocket, entry.image_fd, 0, text);
  set_options_after_listen(fd, entry);
  set_status_flags(fd, entry.flags, mode, Step::CreateSocket, entry);
  park(fd, entry.slot, entry);
}

void fill_sockets() {
  const auto* entries = plan_entries<FdEntry>(group().fds);
  for (u64 i = 0; i < group().fds.count; i++) {
    if (!is_socket(entries[i].kind)) continue;
    if (entries[i].family == kFamilyUnix) fill_unix(entries[i]);
    if (entries[i].kind == FdKind::Socket && entries[i].family != kFamilyUnix) fill_udp(entries[i]);
  }
}

// In the order of the plan, which is that in which they wait to be accepted.
void connect_sockets() {
  const auto* entries = plan_entries<FdEntry>(group().fds);
  for (u64 i = 0; i < group().fds.count; i++) {
    const FdEntry& entry = entries[i];
    if (entry.kind != FdKind::Socket || detail_of(entry).peer_address_bytes == 0) continue;
    const i64 fd = static_cast<i64>(slot_fd(entry.slot));
    i64 result = connect_name(fd, detail_of(entry).peer_address, detail_of(entry).peer_address_bytes, entry);
    // Non-blocking: the handshake within this host has ended, or ends at once.
    if (result == -EINPROGRESS) result = 0;
    must(result, Step::ConnectSocket, entry.image_fd, 0, plan_text(entry.path));
  }
}

void finish_sockets() {
  const auto* entries = plan_entries<FdEntry>(group().fds);
  for (u64 i = 0; i < group().fds.count; i++) {
    const FdEntry& entry = entries[i];
    if (!is_socket(entry.kind)) continue;
    // The listener's own address option was lent to it for the bind.
    if (entry.kind == FdKind::Listen && entry.family != kFamilyUnix && (entry.option & wire::kSocketReuseAddress) == 0)
      set_flag(slot_fd(entry.slot), kLevelSocket, kReuseAddress, false, entry);
    finish(entry);
  }
  for (u64 i = 0; i < group().fds.count; i++) {
    const FdEntry& entry = entries[i];
    if (entry.kind != FdKind::Socket || !is_path(entry.address, entry.address_bytes)) continue;
    if ((detail_of(entry).ends & wire::kKeepName) == 0) unlink_name(entry.address, entry.address_bytes, entry);
  }
}

}  // namespace stasis::runtime
