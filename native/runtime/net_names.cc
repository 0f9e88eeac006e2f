// Names that calls give out: getsockname(2), getpeername(2), accept(2), recvfrom(2).
#include "runtime/net.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

// Writes the name as the kernel does: as much as fits, and its whole length. `given` is what the program said its room
// is.
i64 give_name(const SocketName& name, u64 address, u32 given, u64 length_address) {
  const u32 length = name.length();
  if (i64 result = write_program(address, name.bytes, given < length ? given : length); result < 0) return result;
  return length_address == 0 ? 0 : write_program(length_address, &length, sizeof length);
}

// In place. The own end of a socket, which may have no peer.
void show_own(i32 fd, SocketName* name) {
  Endpoint own, peer;
  if (!endpoint_of(*name, own_network(), &own)) return;
  SocketName other;
  Where where;
  if (real_peer_name(fd, &other)) {
    where =
        endpoint_of(other, own_network(), &peer) ? shown_connected(name->family(), own.place, peer.place) : Where::Host;
  } else {
    where = shown_alone(name->family(), own.place, read_port_word(transport_of(fd), own.port));
  }
  set_virtual(name, where, own.host, own.port);
}

// The other end of what reached a socket. Clients of the host that use the real address come from the host's loopback:
// they are shown as those of a published port are, since the application's own loopback is another one. The name
// service is no client.
bool other_end_of(const SocketName& name, Endpoint* other) {
  if (endpoint_of(name, own_network(), other)) return true;
  u32 host;
  if (classify(name, &host) != Where::Loopback4) return false;
  *other = {Place::Host, kGatewayHost, name.port()};
  return true;
}

// In place. The end of a connection that is not ours.
void show_peer(i32 fd, SocketName* name) {
  Endpoint own{Place::Host, 0, 0}, peer;
  if (!other_end_of(*name, &peer)) return;
  SocketName other;
  if (real_own_name(fd, &other)) endpoint_of(other, own_network(), &own);
  set_virtual(name, shown_connected(name->family(), peer.place, own.place), peer.host, peer.port);
}

// What the kernel wrote at an out address; false if it is none of IPv4 or IPv6.
bool read_out_name(SocketName* name, u64 address, u64 length_address) {
  u32 length = 0;
  if (address == 0 || length_address == 0 || read_program(&length, length_address, sizeof length) < 0) return false;
  return read_name(name, address, length);
}

}  // namespace

void show_sender(i32 fd, SocketName* name) {
  Endpoint own{Place::Host, 0, 0}, sender;
  if (!other_end_of(*name, &sender)) return;
  SocketName other;
  if (real_own_name(fd, &other)) endpoint_of(other, own_network(), &own);
  const u32 word = sender.host == own_host() ? read_port_word(Transport::Datagram, sender.port) : 0;
  set_virtual(name, shown_sender(name->family(), sender.place, own.place, word), sender.host, sender.port);
}

i64 trapped_own_name(Trap& trap) {
  const i32 fd = static_cast<i32>(trap.arguments[0]);
  const bool own = trap.number == __NR_getsockname;
  u32 given = 0;
  SocketName name;
  // Checked before the call, which overwrites it.
  const bool readable = read_program(&given, trap.arguments[2], sizeof given) == 0;
  const i64 result =
      raw_syscall(static_cast<i64>(trap.number), trap.arguments[0], trap.arguments[1], trap.arguments[2]);
  if (result < 0 || !readable) return result;
  if (!(own ? real_own_name(fd, &name) : real_peer_name(fd, &name))) return result;
  own ? show_own(fd, &name) : show_peer(fd, &name);
  return give_name(name, trap.arguments[1], given, 0);
}

i64 trapped_address_in(Trap& trap) {
  const i64 result = blocking_call(trap);
  return complete_address(*trap.context, result);
}

i64 complete_address(const arch::KernelUcontext& program, i64 result) {
  const bool datagram = program.context.rax == __NR_recvfrom;
  if (result < 0 || !net_on()) return result;
  const u64 address = datagram ? program.context.r8 : program.context.rsi;
  const u64 length_address = datagram ? program.context.r9 : program.context.rdx;
  SocketName name;
  // A program whose room is too small for a name cannot use it either; what was cut off is left as it is.
  if (!read_out_name(&name, address, length_address)) return result;
  if (datagram) {
    show_sender(static_cast<i32>(program.context.rdi), &name);
  } else {
    show_peer(static_cast<i32>(result), &name);
  }
  write_program(address, name.bytes, name.length());
  return result;
}

// A socket with this option has a v4-mapped real name, for which it had to be turned off; its place tells.
i64 trapped_six_only(Trap& trap) {
  const i64 result = raw_syscall(__NR_getsockopt, trap.arguments[0], trap.arguments[1], trap.arguments[2],
                                 trap.arguments[3], trap.arguments[4]);
  SocketName name;
  Endpoint own;
  if (result < 0 || !real_own_name(static_cast<i32>(trap.arguments[0]), &name)) return result;
  if (name.family() != kFamilyInet6 || !endpoint_of(name, own_network(), &own) || own.place != Place::Host6)
    return result;
  const u32 on = 1;
  u32 length = 0;
  if (read_program(&length, trap.arguments[4], sizeof length) < 0 || length > sizeof on) return result;
  return write_program(trap.arguments[3], &on, length);
}

}  // namespace stasis::runtime
