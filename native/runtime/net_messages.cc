// Addresses of messages: sendto(2), sendmsg(2), recvmsg(2) and their plural forms.
//
// A datagram socket that has no address of its own would send from 127.0.0.1, where no reply finds it. Binding it would
// cut it off from the world outside. So each datagram says where it comes from (IP_PKTINFO). A program that says so
// itself gets the same: inside an environment the source follows from the socket and the destination.
#include "runtime/message_header.h"
#include "runtime/net.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

constexpr u64 kFastOpen = 0x20000000;  // MSG_FASTOPEN: sendto that connects
constexpr i32 kLevelSocket = 1, kOptionDomain = 39;
constexpr i32 kLevelInet = 0, kPacketInfo = 8;      // SOL_IP, IP_PKTINFO
constexpr i32 kLevelInet6 = 41, kPacketInfo6 = 50;  // SOL_IPV6, IPV6_PKTINFO
constexpr u32 kMaxControlHeaders = 64;

struct Vector {
  u64 base, bytes;
};

struct SourceControl {  // with struct in_pktinfo
  ControlHeader header = {28, kLevelInet, kPacketInfo};
  u32 interface = 0, source = 0, destination = 0, padding = 0;
};
static_assert(sizeof(SourceControl) == 32);

// What is put in place of the program's message.
struct Outgoing {
  SocketName name;
  u32 source;  // address in network order, where the datagram comes from
  bool say_source;
  u32 control_bytes;
  alignas(8) u8 control[256];
};

// Where the address lies in a control message about a packet's address, 0: it is none.
u64 address_offset(const ControlHeader& header, u64* bytes) {
  const bool four = header.level == kLevelInet && header.type == kPacketInfo && header.bytes >= 28;
  const bool six = header.level == kLevelInet6 && header.type == kPacketInfo6 && header.bytes >= 36;
  *bytes = four ? 4 : 16;
  return four ? 20 : six ? 16 : 0;  // ipi_spec_dst, ipi6_addr
}

// Copies the program's control data behind what is there and puts the real source into it. Data that does not fit, or
// is malformed, is left to the kernel: false.
bool copy_control(const MessageHeader& message, Outgoing* out) {
  const u64 length = message.control_bytes;
  if (length > sizeof out->control - sizeof(SourceControl)) return false;
  u8* control = out->control + out->control_bytes;
  if (read_program(control, message.control, length) < 0) return false;
  for (u64 at = 0; length - at >= sizeof(ControlHeader);) {
    ControlHeader header;
    memcpy(&header, control + at, sizeof header);
    if (header.bytes < sizeof header || header.bytes > length - at) return false;
    u64 bytes;
    if (u64 offset = address_offset(header, &bytes); offset != 0) {
      u8* address = control + at + offset;
      for (u64 i = 0; bytes == 16 && i < 12; i++) address[i] = i < 10 ? 0 : 0xff;
      memcpy(address + bytes - 4, &out->source, 4);
    }
    if (step_of(header) >= length - at) break;
    at += step_of(header);
  }
  out->control_bytes += static_cast<u32>(length);
  return true;
}

// True: `out` is to be sent. False: the message is not for the environment, or *result < 0 is the answer.
bool prepare(i32 fd, u64 name, u64 name_bytes, Outgoing* out, i64* result) {
  SocketName given, own;
  Destination destination;
  *result = 0;
  out->say_source = false;
  out->control_bytes = 0;
  if (!read_name(&given, name, name_bytes) || !find_destination(fd, given, &destination, result)) return false;
  out->name = destination.name;
  if (destination.transport == Transport::Stream) {
    *result = give_source(fd, destination.transport, destination.source);
    return *result == 0;
  }
  const bool known = real_own_name(fd, &own);
  out->say_source = !known || own.is_unspecified();
  if (out->say_source) {
    own = destination.name;
    set_real(&own, own_network(), {destination.source, own_host(), 0});
  }
  out->source = __builtin_bswap32(own.ipv4());
  return true;
}

void say_source(Outgoing* out) {
  SourceControl control;
  control.source = out->source;
  memcpy(out->control, &control, sizeof control);
  out->control_bytes = sizeof control;
}

// Sends `message` in its translated form by sendmsg.
i64 send_translated(Trap& trap, MessageHeader& message, u64 flags, Outgoing* out) {
  message.name = reinterpret_cast<u64>(out->name.bytes);
  message.name_bytes = out->name.length();
  if (out->say_source) say_source(out);
  // The later of two wins, so the program's, which says the same, may follow ours.
  const bool has_control = message.control != 0 && message.control_bytes != 0;
  if ((has_control && copy_control(message, out)) || (!has_control && out->say_source)) {
    message.control = reinterpret_cast<u64>(out->control);
    message.control_bytes = out->control_bytes;
  }
  const u64 arguments[6] = {trap.arguments[0], reinterpret_cast<u64>(&message), flags, 0, 0, 0};
  return stasis_blocking_call(trap.context, __NR_sendmsg, arguments);
}

i64 send_message(Trap& trap) {
  MessageHeader message;
  Outgoing out;
  i64 result;
  const bool read = read_program(&message, trap.arguments[1], sizeof message) == 0;
  if (!read || !prepare(static_cast<i32>(trap.arguments[0]), message.name, message.name_bytes, &out, &result)) {
    return read && result < 0 ? result : blocking_call(trap);
  }
  return send_translated(trap, message, trap.arguments[2], &out);
}

bool is_inside(u64 address, MessageHeader* message) {
  SocketName name;
  u32 host;
  return read_program(message, address, sizeof *message) == 0 && read_name(&name, message->name, message->name_bytes) &&
         classify(name, &host) != Where::Outside;
}

// Several messages: those before the first that is for the environment, or that one alone. Fewer than asked for may
// always be sent (sendmmsg(2)).
i64 send_messages(Trap& trap) {
  const auto asked = static_cast<u32>(trap.arguments[2]);
  const u32 count = asked < kMaxMessages ? asked : kMaxMessages;
  MessageHeader message;
  for (u32 i = 0; i < count; i++) {
    if (!is_inside(trap.arguments[1] + i * sizeof(MessageInArray), &message)) continue;
    if (i == 0) {
      Outgoing out;
      i64 result;
      if (!prepare(static_cast<i32>(trap.arguments[0]), message.name, message.name_bytes, &out, &result)) {
        if (result < 0) return result;
        const u64 arguments[6] = {trap.arguments[0], trap.arguments[1], trap.arguments[3], 0, 0, 0};
        return stasis_blocking_call(trap.context, __NR_sendmsg, arguments);
      }
      return send_translated(trap, message, trap.arguments[3], &out);
    }
    trap.arguments[2] = i;
    break;
  }
  return blocking_call(trap);
}

// send_messages() gives the result of a sendmsg(2) where the first message is for the environment: its bytes.
i64 complete_sent(u64 address, i64 result) {
  MessageHeader message;
  if (result < 0 || !is_inside(address, &message)) return result;
  const auto bytes = static_cast<u32>(result);
  write_program(address + __builtin_offsetof(MessageInArray, bytes), &bytes, sizeof bytes);
  return 1;
}

// The address that a datagram was sent to, in the control data of its message.
void show_destinations(const MessageHeader& message, bool has_sender, const Endpoint& sender) {
  u64 at = 0;
  for (u32 i = 0; i < kMaxControlHeaders && message.control_bytes - at >= sizeof(ControlHeader); i++) {
    ControlHeader header;
    if (read_program(&header, message.control + at, sizeof header) < 0 || header.bytes < sizeof header) return;
    u64 bytes;
    u64 offset = address_offset(header, &bytes);
    // Of IPv4 the second address, ipi_addr, is the header's; the first one is the same for a datagram to this host.
    for (u64 end = bytes == 4 ? offset + 4 : offset; offset != 0 && offset <= end; offset += 4) {
      SocketName name{};
      Endpoint own;
      const u64 address = message.control + at + offset;
      name.bytes[0] = bytes == 4 ? kFamilyInet : kFamilyInet6;
      u8* place = name.bytes + (bytes == 4 ? 4 : 8);
      if (read_program(place, address, bytes) < 0 || !endpoint_of(name, own_network(), &own)) continue;
      set_virtual(&name, shown_connected(name.family(), own.place, has_sender ? sender.place : own.place), own.host, 0);
      write_program(address, place, bytes);
    }
    if (step_of(header) > message.control_bytes - at) return;
    at += step_of(header);
  }
}

void complete_received(i32 fd, u64 address) {
  MessageHeader message;
  SocketName name;
  Endpoint sender;
  if (read_program(&message, address, sizeof message) < 0) return;
  const bool named = read_name(&name, message.name, message.name_bytes);
  const bool inside = named && endpoint_of(name, own_network(), &sender);
  if (message.control != 0) show_destinations(message, inside, sender);
  if (!inside) return;
  show_sender(fd, &name);
  write_program(message.name, name.bytes, name.length());
}

}  // namespace

bool is_net_message(u64 fd) {
  if (!net_on()) return false;
  u32 domain = 0, bytes = sizeof domain;
  if (raw_syscall(__NR_getsockopt, fd, kLevelSocket, kOptionDomain, &domain, &bytes) < 0) return false;
  return domain == kFamilyInet || domain == kFamilyInet6;
}

i64 trapped_sendto(Trap& trap) {
  const i32 fd = static_cast<i32>(trap.arguments[0]);
  Outgoing out;
  i64 result;
  if ((trap.arguments[3] & kFastOpen) == 0 && transport_of(fd) == Transport::Stream) return blocking_call(trap);
  if (!prepare(fd, trap.arguments[4], trap.arguments[5], &out, &result)) {
    return result < 0 ? result : blocking_call(trap);
  }
  if (!out.say_source) {
    trap.arguments[4] = reinterpret_cast<u64>(out.name.bytes);
    trap.arguments[5] = out.name.length();
    return blocking_call(trap);
  }
  Vector vector{trap.arguments[1], trap.arguments[2]};
  MessageHeader message{};
  message.vector = reinterpret_cast<u64>(&vector);
  message.vector_count = 1;
  return send_translated(trap, message, trap.arguments[3], &out);
}

i64 trapped_net_message(Trap& trap) {
  const i64 result = trap.number == __NR_sendmsg    ? send_message(trap)
                     : trap.number == __NR_sendmmsg ? send_messages(trap)
                                                    : blocking_call(trap);
  return complete_net_message(*trap.context, result);
}

i64 complete_net_message(const arch::KernelUcontext& program, i64 result) {
  const i32 fd = static_cast<i32>(program.context.rdi);
  const u64 address = program.context.rsi;
  switch (program.context.rax) {
    case __NR_sendmmsg:
      return complete_sent(address, result);
    case __NR_recvmsg:
      if (result >= 0) complete_received(fd, address);
      return result;
    case __NR_recvmmsg:
      for (i64 i = 0; i < result; i++) complete_received(fd, address + static_cast<u64>(i) * sizeof(MessageInArray));
      return result;
    default:
      return result;
  }
}

}  // namespace stasis::runtime
