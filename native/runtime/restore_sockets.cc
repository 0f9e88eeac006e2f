// Listening sockets of a restored process: made, bound and put to listen anew.
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "runtime/restore.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::Step;

constexpr u32 kFamilyUnix = 1, kFamilyInet6 = 10;                                         // AF_*
constexpr u32 kLevelSocket = 1, kLevelTcp = 6, kLevelInet6 = 41;                          // SOL_SOCKET, IPPROTO_*
constexpr u32 kReuseAddress = 2, kKeepAlive = 9, kReusePort = 15, kPassCredentials = 16;  // SO_*
constexpr u32 kNoDelay = 1;                                                               // TCP_NODELAY
constexpr u32 kV6Only = 26;                                                               // IPV6_V6ONLY
constexpr u32 kFamilyBytes = 2;  // of sockaddr_un, before the path
constexpr u32 kPathBytes = sizeof(FdEntry::address) + 1;

void set_option(i64 fd, u32 level, u32 option, bool on, const FdEntry& entry) {
  const i32 value = on;
  must(raw_syscall(__NR_setsockopt, fd, level, option, &value, sizeof value), Step::CreateSocket, entry.image_fd, 0,
       plan_text(entry.path));
}

void set_options_before_bind(i64 fd, const FdEntry& entry) {
  // Connections of the stopped process may linger in TIME_WAIT on the port; they do not keep a socket with this option
  // from binding, listeners do. What the program had is put back below.
  const bool is_unix = entry.family == kFamilyUnix;
  if (!is_unix || (entry.option & wire::kSocketReuseAddress) != 0)
    set_option(fd, kLevelSocket, kReuseAddress, true, entry);
  if ((entry.option & wire::kSocketReusePort) != 0) set_option(fd, kLevelSocket, kReusePort, true, entry);
  if (entry.family == kFamilyInet6)
    set_option(fd, kLevelInet6, kV6Only, (entry.option & wire::kSocketV6Only) != 0, entry);
}

void set_options_after_listen(i64 fd, const FdEntry& entry) {
  if (entry.family != kFamilyUnix && (entry.option & wire::kSocketReuseAddress) == 0) {
    set_option(fd, kLevelSocket, kReuseAddress, false, entry);
  }
  if ((entry.option & wire::kSocketKeepAlive) != 0) set_option(fd, kLevelSocket, kKeepAlive, true, entry);
  if ((entry.option & wire::kSocketNoDelay) != 0) set_option(fd, kLevelTcp, kNoDelay, true, entry);
  if ((entry.option & wire::kSocketPassCred) != 0) set_option(fd, kLevelSocket, kPassCredentials, true, entry);
}

// The path of a UNIX address; false for abstract and unnamed ones.
bool path_of(const FdEntry& entry, char (&path)[kPathBytes]) {
  if (entry.family != kFamilyUnix || entry.address_bytes <= kFamilyBytes || entry.address[kFamilyBytes] == 0)
    return false;
  const u64 bytes = entry.address_bytes - kFamilyBytes;
  memcpy(path, entry.address + kFamilyBytes, bytes);
  path[bytes] = 0;
  return true;
}

// Removes a socket's file that nobody listens at, as the stopped process left it. True if it was removed. A listener, a
// bound socket of another type and a full backlog all answer otherwise than ECONNREFUSED (unix(7)).
bool unlink_stale(const FdEntry& entry) {
  char path[kPathBytes];
  if ((entry.option & wire::kSocketUnlinkStale) == 0 || !path_of(entry, path)) return false;
  struct stat status;
  if (is_error(raw_syscall(__NR_lstat, path, &status)) || (status.st_mode & S_IFMT) != S_IFSOCK) return false;
  const i64 probe = raw_syscall(__NR_socket, entry.family, entry.type | O_CLOEXEC | O_NONBLOCK, 0);
  if (is_error(probe)) return false;
  const i64 answer = raw_syscall(__NR_connect, probe, entry.address, entry.address_bytes);
  raw_syscall(__NR_close, probe);
  return answer == -ECONNREFUSED && raw_syscall(__NR_unlink, path) == 0;
}

}  // namespace

void create_listener(const FdEntry& entry) {
  const char* text = plan_text(entry.path);
  const u32 mode = O_CLOEXEC | (entry.flags & O_NONBLOCK);
  const i64 fd = must(raw_syscall(__NR_socket, entry.family, entry.type | mode, entry.protocol), Step::CreateSocket,
                      entry.image_fd, 0, text);
  set_options_before_bind(fd, entry);
  i64 bound = raw_syscall(__NR_bind, fd, entry.address, entry.address_bytes);
  if (bound == -EADDRINUSE && unlink_stale(entry))
    bound = raw_syscall(__NR_bind, fd, entry.address, entry.address_bytes);
  must(bound, Step::BindSocket, entry.image_fd, 0, text);
  must(raw_syscall(__NR_listen, fd, entry.capacity), Step::ListenSocket, entry.image_fd, 0, text);
  set_options_after_listen(fd, entry);
  set_status_flags(fd, entry.flags, mode, Step::CreateSocket, entry);
  park(fd, entry.slot, entry);
}

}  // namespace stasis::runtime
