// bind(2) and listen(2) in an environment.
#include "runtime/net.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

constexpr u32 kLevelSocket = 1, kOptionReuseAddress = 2, kOptionReusePort = 15, kOptionDomain = 39;

u32 socket_option(i32 fd, u32 option) {
  u32 value = 0, length = sizeof value;
  raw_syscall(__NR_getsockopt, fd, kLevelSocket, option, &value, &length);
  return value;
}

// Whether a socket like `fd` could be bound to the real name. 0 or -errno.
i64 try_bind(i32 fd, const SocketName& name, Transport transport) {
  constexpr u32 kCloseOnExec = 02000000;
  const i64 probe = raw_syscall(__NR_socket, name.family(), (static_cast<u32>(transport) + 1) | kCloseOnExec, 0);
  if (probe < 0) return 0;
  const u32 reuse = socket_option(fd, kOptionReuseAddress);
  raw_syscall(__NR_setsockopt, probe, kLevelSocket, kOptionReuseAddress, &reuse, sizeof reuse);
  if (name.family() == kFamilyInet6) set_six_only(static_cast<i32>(probe), false);
  const i64 result = raw_syscall(__NR_bind, probe, name.bytes, name.length());
  raw_syscall(__NR_close, probe);
  return result == -EADDRINUSE ? result : 0;
}

// The names 0.0.0.0 and 127.0.0.1 are one place for the kernel's rule of who may bind a port twice, but have two real
// addresses. If something of the application was bound to the port at another real address, that is asked for. 0 or
// -errno.
i64 check_other_places(i32 fd, const SocketName& name, Transport transport, u32 bit, u32 word) {
  const Place own_place = place_of_bind(bit);
  const u32 others = word & conflicts_of_bind(bit);
  for (u32 other = 1; other <= kPortBound; other <<= 1) {
    const Place place = place_of_bind(other);
    if ((others & other) == 0 || place == own_place) continue;
    SocketName real = name;
    set_real(&real, own_network(), {place, own_host(), name.port()});
    if (i64 result = try_bind(fd, real, transport); result < 0) return result;
  }
  return 0;
}

// Binds to a name of the environment.
i64 bind_inside(i32 fd, const SocketName& name, Where where, Transport transport, bool six_only) {
  const u32 bit = bit_of_bind(where, six_only);
  const bool shared = socket_option(fd, kOptionReusePort) != 0 ||
                      (transport == Transport::Datagram && socket_option(fd, kOptionReuseAddress) != 0);
  u16 port = name.port();
  if (port != 0 && !shared) {
    const u32 word = read_port_word(transport, port);
    if (i64 result = check_other_places(fd, name, transport, bit, word); result < 0) return result;
  }
  SocketName real = name;
  set_real(&real, own_network(), {place_of_bind(bit), own_host(), port});
  i64 result = raw_syscall(__NR_bind, fd, real.bytes, real.length());
  if (result < 0) return result;
  if (port == 0 && real_own_name(fd, &real)) port = real.port();
  change_port_word(transport, port, shared ? 0 : conflicts_of_bind(bit), bit);
  return result;
}

// At all addresses of the system. What was bound to the port before is gone.
i64 bind_open(i32 fd, const SocketName& name) {
  SocketName real;
  const i64 result = raw_syscall(__NR_bind, fd, name.bytes, name.length());
  if (result == 0 && real_own_name(fd, &real)) change_port_word(Transport::Datagram, real.port(), kPortBound, 0);
  return result;
}

// A name of no family is one of IPv4 if it is all zero and the socket's is (inet_bind, for programs of old).
bool read_bind_name(SocketName* name, i32 fd, u64 address, u64 length) {
  if (read_name(name, address, length)) return true;
  if (static_cast<i32>(length) < 16 || read_program(name->bytes, address, 16) < 0) return false;
  if (name->family() != 0 || socket_option(fd, kOptionDomain) != kFamilyInet) return false;
  name->bytes[0] = kFamilyInet;
  return name->ipv4() == 0;
}

}  // namespace

i64 trapped_bind(Trap& trap) {
  const i32 fd = static_cast<i32>(trap.arguments[0]);
  SocketName name;
  u32 host;
  if (!read_bind_name(&name, fd, trap.arguments[1], trap.arguments[2])) return blocking_call(trap);
  const Where where = classify(name, &host);
  const Transport transport = where == Where::Outside ? Transport::Other : transport_of(fd);
  if (transport == Transport::Other) return blocking_call(trap);
  if (where == Where::Host && host != own_host()) return -EADDRNOTAVAIL;
  const bool six_only = name.family() == kFamilyInet6 && is_six_only(fd);
  if (six_only) {
    if (name.is_mapped()) return blocking_call(trap);  // -EINVAL
    if (i64 result = set_six_only(fd, false); result < 0) return result;
  }
  // A datagram socket without a port of its choice may go on to talk to the whole world. It stays where it is reached
  // by every address, and what it sends inside gets its source then (net_messages.cc).
  const bool open = transport == Transport::Datagram && is_wildcard(where) && name.port() == 0;
  const i64 result = open ? bind_open(fd, name) : bind_inside(fd, name, where, transport, six_only);
  if (result < 0 && six_only) set_six_only(fd, true);
  return result;
}

// A socket that was never bound listens at all addresses of the system, at a port that the kernel chooses.
i64 trapped_listen(Trap& trap) {
  const i32 fd = static_cast<i32>(trap.arguments[0]);
  SocketName name;
  if (real_own_name(fd, &name) && name.is_unspecified() && name.port() == 0 && transport_of(fd) == Transport::Stream) {
    const bool six = name.family() == kFamilyInet6;
    const bool six_only = six && is_six_only(fd);
    if (six_only) set_six_only(fd, false);
    bind_inside(fd, name, six ? Where::Wildcard6 : Where::Wildcard4, Transport::Stream, six_only);
  }
  return raw_syscall(__NR_listen, trap.arguments[0], trap.arguments[1]);
}

}  // namespace stasis::runtime
