#include "runtime/net.h"

#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

constexpr u32 kLevelSocket = 1, kOptionType = 3;  // SOL_SOCKET, SO_TYPE
constexpr u32 kTypeStream = 1, kTypeDatagram = 2;
constexpr u32 kLevelInet6 = 41, kOptionSixOnly = 26;  // SOL_IPV6, IPV6_V6ONLY
constexpr u32 kLevelInet = 0, kOptionLatePort = 24;   // SOL_IP, IP_BIND_ADDRESS_NO_PORT

bool real_name(i64 number, i32 fd, SocketName* name) {
  // Names of local sockets are longer; what does not fit is cut off and of no interest.
  u32 length = sizeof name->bytes;
  memset(name, 0, sizeof *name);
  if (raw_syscall(number, fd, name->bytes, &length) < 0) return false;
  return name->is_inet() && length >= name->length();
}

}  // namespace

i64 dispatch_net(Trap& trap) {
  if (!net_on()) return blocking_call(trap);
  switch (trap.number) {
    case __NR_bind:
      return trapped_bind(trap);
    case __NR_listen:
      return trapped_listen(trap);
    case __NR_connect:
      return trapped_connect(trap);
    case __NR_getsockname:
    case __NR_getpeername:
      return trapped_own_name(trap);
    case __NR_accept:
    case __NR_accept4:
    case __NR_recvfrom:
      return trapped_address_in(trap);
    case __NR_sendto:
      return trapped_sendto(trap);
    case __NR_getsockopt:
      return trapped_six_only(trap);
    default:
      return blocking_call(trap);
  }
}

Transport transport_of(i32 fd) {
  u32 type = 0, length = sizeof type;
  if (raw_syscall(__NR_getsockopt, fd, kLevelSocket, kOptionType, &type, &length) < 0) return Transport::Other;
  if (type == kTypeStream) return Transport::Stream;
  return type == kTypeDatagram ? Transport::Datagram : Transport::Other;
}

bool read_name(SocketName* name, u64 address, u64 length) {
  const i32 bytes = static_cast<i32>(length);  // the kernel's parameter is an int
  constexpr i32 kShortInet6 = 24;              // without sin6_scope_id (RFC 2133), which the kernel takes too
  if (address == 0 || bytes < 16) return false;
  memset(name, 0, sizeof *name);
  if (read_program(name->bytes, address, 16) < 0 || !name->is_inet()) return false;
  if (name->family() == kFamilyInet) return true;
  if (bytes < kShortInet6) return false;
  return read_program(name->bytes + 16, address + 16, (bytes < 28 ? kShortInet6 : 28) - 16) == 0;
}

bool real_own_name(i32 fd, SocketName* name) { return real_name(__NR_getsockname, fd, name); }
bool real_peer_name(i32 fd, SocketName* name) { return real_name(__NR_getpeername, fd, name); }

bool is_six_only(i32 fd) {
  u32 on = 0, length = sizeof on;
  return raw_syscall(__NR_getsockopt, fd, kLevelInet6, kOptionSixOnly, &on, &length) == 0 && on != 0;
}

i64 set_six_only(i32 fd, bool on) {
  const u32 value = on ? 1 : 0;
  return raw_syscall(__NR_setsockopt, fd, kLevelInet6, kOptionSixOnly, &value, sizeof value);
}

u32* port_word(Transport transport, u16 port) {
  const u32 table = transport == Transport::Datagram ? 1 : 0;
  return id_table().ports() + table * 65536 + port;
}

void change_port_word(Transport transport, u16 port, u32 clear, u32 set) {
  u32* word = port_word(transport, port);
  u32 before = __atomic_load_n(word, __ATOMIC_RELAXED);
  for (;;) {
    const u32 after = (before & ~clear) | set;
    // Unchanged words are not written, so that lines that many read stay shared.
    if (after == before ||
        __atomic_compare_exchange_n(word, &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      return;
    }
  }
}

bool find_destination(i32 fd, const SocketName& name, Destination* destination, i64* result) {
  *result = 0;
  u32 host;
  const Where where = classify(name, &host);
  if (where == Where::Outside) return false;
  const Transport transport = transport_of(fd);
  if (transport == Transport::Other) return false;
  const u16 port = name.port();
  if (name.family() == kFamilyInet6 && is_six_only(fd)) {
    if (name.is_mapped()) return false;  // the kernel has the answer
    // Its real names are v4-mapped.
    if (*result = set_six_only(fd, false); *result < 0) return false;
  }
  const bool own = where != Where::Host || host == own_host();
  const u32 word = own ? read_port_word(transport, port) : 0;
  destination->endpoint = {place_to_reach(where, word), own ? own_host() : host, port};
  destination->source = place_to_come_from(where);
  destination->transport = transport;
  destination->name = name;
  set_real(&destination->name, own_network(), destination->endpoint);
  if (own && transport == Transport::Datagram) {
    u32 asked = 0;
    if (destination->source == Place::Loopback4) asked = kPortAskedLoopback4;
    if (destination->source == Place::Loopback6) asked = kPortAskedLoopback6;
    if (destination->endpoint.place != Place::Host) asked = 0;
    change_port_word(transport, port, kPortAsked, asked);
  }
  return true;
}

i64 give_source(i32 fd, Transport transport, Place source) {
  SocketName own;
  if (!real_own_name(fd, &own)) return 0;
  const u16 port = own.port();
  // An address without a port was given here, for a connection that came to nothing or was undone since.
  if (!own.is_unspecified() && port != 0) return 0;
  if (port != 0) {
    // Has a port of the whole system. Only of a datagram socket can the address still be changed: undoing a connection
    // gives up what the program has not bound itself (__udp_disconnect in the kernel's net/ipv4/udp.c), and it binds
    // such sockets to port 0 only.
    if (transport != Transport::Datagram) return 0;
    const u64 unspecified[2] = {};  // AF_UNSPEC
    raw_syscall(__NR_connect, fd, unspecified, sizeof unspecified);
  } else if (transport == Transport::Stream) {
    // The port is then chosen at connect, by source and destination together (4.2).
    const u32 on = 1;
    raw_syscall(__NR_setsockopt, fd, kLevelInet, kOptionLatePort, &on, sizeof on);
  }
  SocketName name{};
  name.bytes[0] = own.bytes[0];  // the socket's family; a datagram socket of IPv6 takes destinations of IPv4 too
  set_real(&name, own_network(), {source, own_host(), 0});
  name.set_port(port);
  i64 result = raw_syscall(__NR_bind, fd, name.bytes, name.length());
  if (result < 0 && port != 0) {  // taken meanwhile
    name.set_port(0);
    result = raw_syscall(__NR_bind, fd, name.bytes, name.length());
  }
  if (result == -EINVAL) return 0;  // bound by another thread meanwhile
  if (result == 0 && transport == Transport::Datagram && real_own_name(fd, &own)) {
    // Replies find it by its port: what was bound to that once is gone.
    const u32 bit = source == Place::Host ? kPortHost : source == Place::Loopback4 ? kPortLoopback4 : kPortLoopback6;
    change_port_word(transport, own.port(), kPortBound, bit);
  }
  return result;
}

}  // namespace stasis::runtime
