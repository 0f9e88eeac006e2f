// Datagrams that waited in UDP sockets of a restored process: sent again over the loopback device, from the socket that had sent them if it is
// the application's, else from one that is bound to the sender's address if that can be had here.
#include <linux/fcntl.h>

#include "runtime/restore_sockets.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::MessageEntry;
using wire::Step;

constexpr u32 kDontWait = 0x40;              // MSG_DONTWAIT
constexpr u32 kAddress4 = 4, kAddress6 = 8;  // where the address is in sockaddr_in, sockaddr_in6
constexpr u32 kBytes6 = 16;

// Where to send so that it arrives at a socket bound to `address`: any address there means the loopback one.
void destination(const FdEntry& entry, u8 (&to)[sizeof entry.address]) {
  memcpy(to, entry.address, entry.address_bytes);
  if (entry.family == kFamilyInet) {
    u32 address;
    memcpy(&address, to + kAddress4, sizeof address);
    if (address == 0) to[kAddress4] = 127, to[kAddress4 + 3] = 1;
    return;
  }
  for (u32 i = 0; i < kBytes6; i++) {
    if (to[kAddress6 + i] != 0) return;
  }
  to[kAddress6 + kBytes6 - 1] = 1;
}

}  // namespace

void fill_udp(const FdEntry& entry) {
  if (detail_of(entry).messages.count == 0) return;
  u8 to[sizeof entry.address];
  destination(entry, to);
  const auto* all = plan_entries<MessageEntry>(detail_of(entry).messages);
  u64 bytes = 0;
  for (u64 i = 0; i < detail_of(entry).messages.count; i++) bytes += all[i].bytes + 1024;
  make_room(slot_fd(entry.slot), kReceiveBuffer, bytes);
  for (u64 i = 0; i < detail_of(entry).messages.count; i++) {
    const MessageEntry& message = all[i];
    i64 sender, fd = -1;
    if (message.sender != wire::kNoSlot) {
      sender = static_cast<i64>(slot_fd(message.sender));
    } else {
      sender = fd = must(raw_syscall(__NR_socket, entry.family, entry.type | O_CLOEXEC, entry.protocol),
                         Step::FillSocketPair, entry.image_fd);
      raw_syscall(__NR_bind, fd, message.from, message.from_bytes);
    }
    must(raw_syscall(__NR_sendto, sender, wire::kPlanBase + message.data, message.bytes, kDontWait, to,
                     entry.address_bytes),
         Step::FillSocketPair, entry.image_fd, 0, plan_text(entry.path));
    if (fd >= 0) raw_syscall(__NR_close, fd);
  }
}

}  // namespace stasis::runtime
