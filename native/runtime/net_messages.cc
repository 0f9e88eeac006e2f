// Addresses of messages: sendto(2), and the names in headers of sendmsg(2) and recvmsg(2), whose other contents are ids_socket.cc's.
//
// A datagram socket that has no address of its own would send from 127.0.0.1, where no reply finds it. Binding it would cut it off from
// the world outside. So each datagram says where it comes from (IP_PKTINFO).
#include "runtime/net.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

constexpr u64 kFastOpen = 0x20000000;  // MSG_FASTOPEN: sendto that connects

struct Vector {
  u64 base, bytes;
};

struct MessageHeader {  // struct user_msghdr
  u64 name;
  u32 name_length, padding;
  u64 vector, vectors;
  u64 control, control_length;
  u32 flags, padding2;
};
static_assert(sizeof(MessageHeader) == 56);

bool find_message_destination(i32 fd, const SocketName& given, SocketName* name, SourceControl* control,
                              bool* controlled, i64* result) {
  Destination destination;
  if (!find_destination(fd, given, &destination, result)) return false;
  *name = destination.name;
  *controlled = false;
  if (destination.transport == Transport::Stream) {
    *result = give_source(fd, given.family(), destination.transport, destination.source);
    return *result == 0;
  }
  SocketName own;
  if (!real_own_name(fd, &own) || !own.is_unspecified()) return true;
  SocketName source = destination.name;
  set_real(&source, own_network(), {destination.source, own_host(), 0});
  *control = SourceControl();
  control->source = __builtin_bswap32(source.ipv4());
  *controlled = true;
  return true;
}

}  // namespace

bool prepare_message_name(i32 fd, u64 program_name, u32* length, SocketName* name, SourceControl* control,
                          bool* controlled, i64* result) {
  SocketName given;
  *result = 0;
  if (!read_name(&given, program_name, *length)) return false;
  if (!find_message_destination(fd, given, name, control, controlled, result)) return false;
  *length = name->length();
  return true;
}

i64 trapped_sendto(Trap& trap) {
  const i32 fd = static_cast<i32>(trap.arguments[0]);
  SocketName name;
  SourceControl control;
  bool controlled;
  i64 result;
  u32 length = static_cast<u32>(trap.arguments[5]);
  if ((trap.arguments[3] & kFastOpen) == 0 && transport_of(fd) == Transport::Stream) return blocking_call(trap);
  if (!prepare_message_name(fd, trap.arguments[4], &length, &name, &control, &controlled, &result)) {
    return result < 0 ? result : blocking_call(trap);
  }
  trap.arguments[4] = reinterpret_cast<u64>(name.bytes);
  trap.arguments[5] = length;
  if (!controlled) return blocking_call(trap);
  Vector vector{trap.arguments[1], trap.arguments[2]};
  MessageHeader message{};
  message.name = reinterpret_cast<u64>(name.bytes);
  message.name_length = length;
  message.vector = reinterpret_cast<u64>(&vector);
  message.vectors = 1;
  message.control = reinterpret_cast<u64>(&control);
  message.control_length = sizeof control;
  trap.number = __NR_sendmsg;
  trap.arguments[1] = reinterpret_cast<u64>(&message);
  trap.arguments[2] = trap.arguments[3];
  return blocking_call(trap);
}

}  // namespace stasis::runtime
