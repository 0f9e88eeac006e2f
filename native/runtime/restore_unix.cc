// UNIX sockets of a restored process: pairs, connections that were made through a listener, single sockets, and what is queued in them.
#include <linux/fcntl.h>

#include "runtime/restore_sockets.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::MessageEntry;
using wire::Step;

constexpr i32 kRights = 1;        // SCM_RIGHTS
constexpr u64 kMostRights = 253;  // SCM_MAX_FD
constexpr u32 kDontWait = 0x40;   // MSG_DONTWAIT

struct Header {  // struct cmsghdr, and room for all that one message can carry
  u64 bytes;
  i32 level, type;
  i32 fds[kMostRights + 1];
};
Header g_header;  // too large for a frame; used by the builder's only thread

struct KernelMessage {  // struct user_msghdr
  const void* name;
  i32 name_bytes;
  const void* vectors;
  u64 vector_count;
  void* control;
  u64 control_bytes;
  u32 flags;
};

void bind_end(i64 fd, const u8* address, u32 bytes, u32 keep, const FdEntry& entry) {
  if (bytes == 0) return;
  must(bind_name(fd, address, bytes, entry), Step::BindSocket, entry.image_fd, 0, plan_text(entry.path));
  if ((detail_of(entry).ends & keep) == 0) unlink_name(address, bytes, entry);
}

// The second end is accepted by a listener of its name, which exists for that alone; the first, which may have a name of its
// own, connects to it.
void connect_by_name(const FdEntry& entry, i64 (&ends)[2]) {
  const wire::FdDetail& detail = detail_of(entry);
  const u32 mode = O_CLOEXEC | O_NONBLOCK;
  const char* text = plan_text(entry.path);
  const i64 listener = must(raw_syscall(__NR_socket, kFamilyUnix, entry.type | mode, 0), Step::CreateSocketPair,
                            entry.image_fd, 0, text);
  must(bind_name(listener, detail.peer_address, detail.peer_address_bytes, entry), Step::BindSocket, entry.image_fd, 0,
       text);
  must(raw_syscall(__NR_listen, listener, 1), Step::ListenSocket, entry.image_fd, 0, text);
  ends[0] = must(raw_syscall(__NR_socket, kFamilyUnix, entry.type | mode, 0), Step::CreateSocketPair, entry.image_fd);
  bind_end(ends[0], entry.address, entry.address_bytes, wire::kKeepName, entry);
  must(connect_name(ends[0], detail.peer_address, detail.peer_address_bytes, entry), Step::ConnectSocket,
       entry.image_fd, 0, text);
  ends[1] = must(raw_syscall(__NR_accept4, listener, nullptr, nullptr, mode), Step::ConnectSocket, entry.image_fd);
  raw_syscall(__NR_close, listener);
  if ((detail.ends & wire::kKeepPeerName) == 0) unlink_name(detail.peer_address, detail.peer_address_bytes, entry);
}

// For a sender that is gone: a socket of its name, if that is free.
i64 stand_in(const MessageEntry& message, const FdEntry& entry) {
  const i64 fd = must(raw_syscall(__NR_socket, kFamilyUnix, entry.type | O_CLOEXEC | O_NONBLOCK, 0),
                      Step::FillSocketPair, entry.image_fd);
  if (message.from_bytes == 0) return fd;
  const i64 bound = raw_syscall(__NR_bind, fd, message.from, message.from_bytes);
  if (bound == 0) unlink_name(message.from, message.from_bytes, entry);
  return fd;
}

// Sends one message to what `to` names, or to what the sender is connected to.
void send(i64 sender, const MessageEntry& message, const u8* to, u32 to_bytes, const FdEntry& entry) {
  const auto* slots = reinterpret_cast<const u32*>(wire::kPlanBase + message.rights);
  struct {
    u64 base, bytes;
  } vector = {wire::kPlanBase + message.data, message.bytes};
  KernelMessage header = {to_bytes != 0 ? to : nullptr, static_cast<i32>(to_bytes), &vector, 1, nullptr, 0, 0};
  for (u32 i = 0; i < message.right_count; i++) g_header.fds[i] = static_cast<i32>(slot_fd(slots[i]));
  if (message.right_count > 0) {
    g_header.bytes = sizeof(u64) + 2 * sizeof(i32) + message.right_count * sizeof(i32);
    g_header.level = kLevelSocket;
    g_header.type = kRights;
    header.control = &g_header;
    header.control_bytes = g_header.bytes;
  }
  do {
    const auto sent = static_cast<u64>(
        must(raw_syscall(__NR_sendmsg, sender, &header, kDontWait), Step::FillSocketPair, entry.image_fd));
    vector.base += sent;
    vector.bytes -= sent;
    header.control = nullptr;  // goes with the first bytes
    header.control_bytes = 0;
  } while (vector.bytes > 0);
}

// `other`: the socket whose messages arrive here when no other sender is named; kNoSlot: none.
void fill_end(const wire::Array& messages, u32 other, const u8* own, u32 own_bytes, const FdEntry& entry) {
  const auto* all = plan_entries<MessageEntry>(messages);
  u64 bytes = 0;
  for (u64 i = 0; i < messages.count; i++) bytes += all[i].bytes + 1024;
  if (other != wire::kNoSlot && messages.count > 0) make_room(slot_fd(other), kSendBuffer, bytes);
  for (u64 i = 0; i < messages.count; i++) {
    if (other != wire::kNoSlot) {
      send(slot_fd(other), all[i], nullptr, 0, entry);
    } else if (all[i].sender != wire::kNoSlot) {
      send(slot_fd(all[i].sender), all[i], own, own_bytes, entry);
    } else {
      const i64 fd = stand_in(all[i], entry);
      make_room(fd, kSendBuffer, all[i].bytes);
      send(fd, all[i], own, own_bytes, entry);
      raw_syscall(__NR_close, fd);
    }
  }
}

void fill_stream(u64 data, u64 bytes, u32 sender, const FdEntry& entry) {
  if (bytes == 0) return;
  make_room(slot_fd(sender), kSendBuffer, bytes);
  MessageEntry message{};
  message.data = data;
  message.bytes = bytes;
  send(static_cast<i64>(slot_fd(sender)), message, nullptr, 0, entry);
}

}  // namespace

void create_socket_pair(const FdEntry& entry) {
  const wire::FdDetail& detail = detail_of(entry);
  i64 ends[2];
  if (detail.peer_address_bytes != 0 && entry.type != kDatagramSocket) {
    connect_by_name(entry, ends);
  } else {
    i32 pair[2];
    must(raw_syscall(__NR_socketpair, kFamilyUnix, entry.type | O_CLOEXEC | O_NONBLOCK, 0, pair),
         Step::CreateSocketPair, entry.image_fd);
    ends[0] = pair[0], ends[1] = pair[1];
    bind_end(ends[0], entry.address, entry.address_bytes, wire::kKeepName, entry);
    bind_end(ends[1], detail.peer_address, detail.peer_address_bytes, wire::kKeepPeerName, entry);
  }
  set_status_flags(ends[0], entry.flags, O_NONBLOCK, Step::CreateSocketPair, entry);
  set_status_flags(ends[1], entry.peer_flags, O_NONBLOCK, Step::CreateSocketPair, entry);
  park(ends[0], entry.slot, entry);
  park(ends[1], entry.peer_slot, entry);
}

void create_socket(const FdEntry& entry) {
  const u32 mode = O_CLOEXEC | (entry.flags & O_NONBLOCK);
  const char* text = plan_text(entry.path);
  const i64 fd = must(raw_syscall(__NR_socket, entry.family, entry.type | mode, entry.protocol), Step::CreateSocket,
                      entry.image_fd, 0, text);
  // Some decide what may be bound. A port on which connections of the stopped process linger can be bound like this only;
  // what the program had is put back at the end, with what can only be set then.
  if (entry.family != kFamilyUnix) set_options(fd, detail_of(entry).options, entry, true);
  if (entry.family != kFamilyUnix && entry.type == kStreamSocket)
    set_flag(fd, kLevelSocket, kReuseAddress, true, entry);
  if (entry.address_bytes != 0)
    must(bind_name(fd, entry.address, entry.address_bytes, entry), Step::BindSocket, entry.image_fd, 0, text);
  set_status_flags(fd, entry.flags, mode, Step::CreateSocket, entry);
  park(fd, entry.slot, entry);
}

void fill_unix(const FdEntry& entry) {
  if (entry.kind == wire::FdKind::Socket) {
    fill_end(detail_of(entry).messages, wire::kNoSlot, entry.address, entry.address_bytes, entry);
    return;
  }
  fill_stream(entry.data, entry.data_bytes, entry.peer_slot, entry);
  fill_stream(entry.peer_data, entry.peer_data_bytes, entry.slot, entry);
  fill_end(detail_of(entry).messages, entry.peer_slot, nullptr, 0, entry);
  fill_end(detail_of(entry).peer_messages, entry.slot, nullptr, 0, entry);
}

}  // namespace stasis::runtime
