// Addresses of an environment, as pure arithmetic: no system calls, no state, so that the keeper and the unit tests use
// the same code.
//
// An environment is a network of its own in the eyes of its applications. An application with host part h has the
// address 10.10.(h >> 8).(h & 255), and a loopback that no other application reaches. The kernel knows nothing of that:
// its sockets are bound inside 127.0.0.0/8, of which every network number from 2 to 254 has 2^16 addresses:
//
//     127.NETWORK.c.(h & 255)    c: loopback 1 bit | six 1 bit | low 1 bit | h >> 8, 5 bits
//
//     loopback  bound to 127.0.0.1 or ::1, not to an address that others may use
//     six       has no meaning to sockets of IPv4: ::1, or :: without IPv4. Real sockets of AF_INET6 are bound to v4-mapped addresses,
//               since IPv6 has one loopback address only.
//     low       ports below 1024, which are privileged, are real ports 30000 above on an address of their own
//
// The arithmetic needs no table, so applications agree on each other's real addresses. One thing cannot be told from an
// address: a socket bound to all addresses is reached by 10.10.0.h and by 127.0.0.1 alike, but has one real address,
// the one of 10.10.0.h. The word of its port (wire/ids.h, ports) says so: kPort* below.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

inline constexpr u16 kFamilyInet = 2, kFamilyInet6 = 10;

// A sockaddr_in or sockaddr_in6 as the kernel has it.
struct SocketName {
  alignas(8) u8 bytes[28];

  u16 family() const { return static_cast<u16>(bytes[0] | bytes[1] << 8); }
  bool is_inet() const { return family() == kFamilyInet || family() == kFamilyInet6; }
  u32 length() const { return family() == kFamilyInet ? 16 : 28; }
  u16 port() const { return static_cast<u16>(bytes[2] << 8 | bytes[3]); }
  // Of AF_INET or v4-mapped.
  u32 ipv4() const;
  bool is_mapped() const;       // ::ffff:a.b.c.d
  bool is_unspecified() const;  // 0.0.0.0, ::, ::ffff:0.0.0.0

  void set_port(u16 port);
  // In an AF_INET6 name, v4-mapped. Keeps what has nothing to do with the address.
  void set_ipv4(u32 address);
  void set_ipv6_tail(u8 last);  // ::last
};

// What a virtual address stands for.
enum class Where : u8 {
  Outside,    // not of the environment; passes as it is
  Wildcard4,  // 0.0.0.0
  Wildcard6,  // ::
  Host,       // 10.10.x.y
  Loopback4,  // 127.x.y.z
  Loopback6,  // ::1
};
inline bool is_wildcard(Where where) { return where == Where::Wildcard4 || where == Where::Wildcard6; }
inline bool is_loopback(Where where) { return where == Where::Loopback4 || where == Where::Loopback6; }

// Which of an application's real addresses.
enum class Place : u8 { Host, Host6, Loopback4, Loopback6 };
inline bool is_loopback(Place place) { return place == Place::Loopback4 || place == Place::Loopback6; }

inline constexpr u32 kVirtualNetwork = 10u << 24 | 10u << 16;  // 10.10.0.0/16
inline constexpr u32 kMaxHost = 8191;
inline constexpr u32 kGatewayHost = 254;  // the keeper's side of published connections
inline constexpr u32 kMinNetwork = 2, kMaxNetwork = 254;
inline constexpr u16 kLowPortOffset = 30000;
inline constexpr u16 kFirstOpenPort = 1024;

// A place of an application with a virtual port.
struct Endpoint {
  Place place;
  u32 host;
  u16 port;
};

// `host` is set for Where::Host. Addresses of the host's name service (127.0.0.53 and .54, systemd-resolved) are
// outside: names are the system's. All other addresses in 127/8 are one.
Where classify(const SocketName& name, u32* host);

// Puts the real address and port of the endpoint into the name, whose family stays.
void set_real(SocketName* name, u32 network, const Endpoint& endpoint);

// The endpoint behind a real name; false if it is not of this network.
bool endpoint_of(const SocketName& name, u32 network, Endpoint* endpoint);

// Puts a virtual address and port into the name.
void set_virtual(SocketName* name, Where where, u32 host, u16 port);

// Bits of a port's word: what is bound to it, as far as known. What has gone is not taken out (a close is not seen),
// but what is bound later takes out what cannot be bound beside it.
inline constexpr u32 kPortWildcard4 = 1;     // 0.0.0.0
inline constexpr u32 kPortWildcardBoth = 2;  // ::, which takes IPv4 too
inline constexpr u32 kPortWildcard6 = 4;     // :: of a socket with IPV6_V6ONLY
inline constexpr u32 kPortHost = 8;          // 10.10.x.y
inline constexpr u32 kPortLoopback4 = 16;
inline constexpr u32 kPortLoopback6 = 32;
inline constexpr u32 kPortBound = 63;
// Not what is bound, but by which of its names a datagram server bound to all addresses was asked last. Replies come
// from one real address, and whoever asked 127.0.0.1 expects to hear from there.
inline constexpr u32 kPortAskedLoopback4 = 64;
inline constexpr u32 kPortAskedLoopback6 = 128;
inline constexpr u32 kPortAsked = kPortAskedLoopback4 | kPortAskedLoopback6;

// The bit for a bind to `where`.
u32 bit_of_bind(Where where, bool six_only);
// The real place that a bind with this bit goes to.
Place place_of_bind(u32 bit);
// What cannot be bound to the same port as `bit` (without SO_REUSEPORT): a mask of bits, itself among them.
u32 conflicts_of_bind(u32 bit);

// Where to reach `where` of the application itself, given the word of the port. Connecting to a wildcard means
// loopback.
Place place_to_reach(Where where, u32 word);
// The place of a sender or connecting socket, so that the other side sees the right name.
Place place_to_come_from(Where destination);
Where destination_of(Where where);

// How a socket of `family` shows its own address while it has no peer.
Where shown_alone(u16 family, Place place, u32 word);
// How it shows an end of a connection. A connection is one of the loopback if either end is.
Where shown_connected(u16 family, Place shown, Place other);
// How it shows who sent a datagram. `word` is that of the sender's port, 0 if the sender is another application.
Where shown_sender(u16 family, Place sender, Place receiver, u32 word);

}  // namespace stasis::runtime
