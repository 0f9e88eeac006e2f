// Sockets of an application in an environment (net_address.h has the addresses): what its handlers share.
//
// State: a socket's real address says nearly all; the word of its port in the table (wire/ids.h, ports) the rest. Both
// belong to no process, so that a socket shows the same after fork, exec, and in whoever gets it by SCM_RIGHTS.
//
// Out addresses (getsockname, accept, recvfrom...) are written by the kernel to the program's own memory and translated
// there, because a runtime buffer must not lie under a call that can block. In addresses are translated in a copy.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "runtime/ids.h"
#include "runtime/net_address.h"
#include "runtime/trap.h"
#include "wire/types.h"

namespace stasis::runtime {

// The application is in an environment.
inline bool net_on() { return ids_on() && id_table().header()->environment != 0; }
inline u32 own_network() { return id_table().header()->environment; }
inline u32 own_host() { return id_table().header()->own_address; }

enum class Transport : u32 { Stream = 0, Datagram = 1, Other = 2 };

// Of an IPv4 or IPv6 socket, whose name it is known to have.
Transport transport_of(i32 fd);

// False if it is no whole name of IPv4 or IPv6, which the kernel then judges itself.
bool read_name(SocketName* name, u64 address, u64 length);

// The kernel's answer; false on any failure and for other families.
bool real_own_name(i32 fd, SocketName* name);
bool real_peer_name(i32 fd, SocketName* name);

// In place: a real name of who sent a datagram to the socket becomes the one that it is known by.
void show_sender(i32 fd, SocketName* name);

bool is_six_only(i32 fd);
i64 set_six_only(i32 fd, bool on);

u32* port_word(Transport transport, u16 port);
inline u32 read_port_word(Transport transport, u16 port) {
  return __atomic_load_n(port_word(transport, port), __ATOMIC_RELAXED);
}
// Takes out `clear`, puts in `set`.
void change_port_word(Transport transport, u16 port, u32 clear, u32 set);

// A destination in the environment, made real. `source` is where the sender should appear to be.
struct Destination {
  SocketName name;  // real
  Endpoint endpoint;
  Place source;
  Transport transport;
};
// True: `destination` is set. False with *result 0: not of the environment. False with *result < 0: the call's answer.
bool find_destination(i32 fd, const SocketName& name, Destination* destination, i64* result);

// Binds a socket without an address of its own to `source`, port 0: chosen by the kernel. Nothing to do for others.
// -errno.
i64 give_source(i32 fd, Transport transport, Place source);

// From a call's number to its handler; calls of an application without an environment pass.
i64 dispatch_net(Trap& trap);

i64 trapped_bind(Trap& trap);        // net_bind.cc
i64 trapped_listen(Trap& trap);      // net_bind.cc
i64 trapped_connect(Trap& trap);     // net_connect.cc
i64 trapped_own_name(Trap& trap);    // net_names.cc: getsockname, getpeername
i64 trapped_address_in(Trap& trap);  // net_names.cc: accept, accept4, recvfrom
i64 trapped_six_only(Trap& trap);    // net_names.cc: getsockopt(IPV6_V6ONLY)
i64 trapped_sendto(Trap& trap);      // net_messages.cc

// getsockopt(IPPROTO_IPV6, IPV6_V6ONLY).
inline bool is_six_only_query(const Trap& trap) {
  return static_cast<u32>(trap.arguments[1]) == 41 && static_cast<u32>(trap.arguments[2]) == 26;
}

// After accept, accept4 and recvfrom, as a completion (ids.h, complete_call): the address in the program's memory.
i64 complete_address(const arch::KernelUcontext& program, i64 result);

// sendmsg, sendmmsg, recvmsg and recvmmsg on a socket of IPv4 or IPv6, in an environment; others' are ids_socket.cc's.
bool is_net_message(u64 fd);
i64 trapped_net_message(Trap& trap);                                        // net_messages.cc
i64 complete_net_message(const arch::KernelUcontext& program, i64 result);  // completion (ids.h, complete_call)

}  // namespace stasis::runtime
