#include "runtime/net_address.h"

namespace stasis::runtime {

namespace {

constexpr u32 kLoopbackBit = 0x8000, kSixBit = 0x4000, kLowBit = 0x2000;  // of the lower 16 bits of a real address

bool all_zero(const u8* bytes, u32 count) {
  for (u32 i = 0; i < count; i++) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

u32 read_big(const u8* bytes) {
  return static_cast<u32>(bytes[0]) << 24 | static_cast<u32>(bytes[1]) << 16 | static_cast<u32>(bytes[2]) << 8 |
         bytes[3];
}

void write_big(u8* bytes, u32 value) {
  for (u32 i = 0; i < 4; i++) bytes[i] = static_cast<u8>(value >> (24 - 8 * i));
}

Where loopback_of(u16 family, bool six) { return family == kFamilyInet6 && six ? Where::Loopback6 : Where::Loopback4; }

bool has_six(Place place) { return place == Place::Host6 || place == Place::Loopback6; }

}  // namespace

bool SocketName::is_mapped() const {
  return family() == kFamilyInet6 && all_zero(bytes + 8, 10) && bytes[18] == 0xff && bytes[19] == 0xff;
}

u32 SocketName::ipv4() const { return read_big(family() == kFamilyInet ? bytes + 4 : bytes + 20); }

bool SocketName::is_unspecified() const {
  if (family() == kFamilyInet || is_mapped()) return ipv4() == 0;
  return family() == kFamilyInet6 && all_zero(bytes + 8, 16);
}

void SocketName::set_port(u16 port) {
  bytes[2] = static_cast<u8>(port >> 8);
  bytes[3] = static_cast<u8>(port);
}

void SocketName::set_ipv4(u32 address) {
  if (family() == kFamilyInet) return write_big(bytes + 4, address);
  for (u32 i = 8; i < 18; i++) bytes[i] = 0;
  bytes[18] = bytes[19] = 0xff;
  write_big(bytes + 20, address);
}

void SocketName::set_ipv6_tail(u8 last) {
  for (u32 i = 8; i < 23; i++) bytes[i] = 0;
  bytes[23] = last;
}

Where classify(const SocketName& name, u32* host) {
  *host = 0;
  const bool mapped = name.is_mapped();
  if (name.family() == kFamilyInet6 && !mapped) {
    if (!all_zero(name.bytes + 8, 15)) return Where::Outside;
    return name.bytes[23] == 0 ? Where::Wildcard6 : name.bytes[23] == 1 ? Where::Loopback6 : Where::Outside;
  }
  const u32 address = name.ipv4();
  if (address == 0) return Where::Wildcard4;
  if (address >> 24 == 127) {
    constexpr u32 kResolver = 127u << 24 | 53, kResolverProxy = 127u << 24 | 54;
    return address == kResolver || address == kResolverProxy ? Where::Outside : Where::Loopback4;
  }
  if ((address & 0xffff0000) != kVirtualNetwork) return Where::Outside;
  *host = address & 0xffff;
  return *host >= 1 && *host <= kMaxHost ? Where::Host : Where::Outside;
}

void set_real(SocketName* name, u32 network, const Endpoint& endpoint) {
  u32 low_half = endpoint.host;
  if (is_loopback(endpoint.place)) low_half |= kLoopbackBit;
  if (has_six(endpoint.place)) low_half |= kSixBit;
  u16 port = endpoint.port;
  if (port != 0 && port < kFirstOpenPort) {
    low_half |= kLowBit;
    port = static_cast<u16>(port + kLowPortOffset);
  }
  name->set_ipv4(127u << 24 | network << 16 | low_half);
  name->set_port(port);
}

bool endpoint_of(const SocketName& name, u32 network, Endpoint* endpoint) {
  if (name.family() != kFamilyInet && !name.is_mapped()) return false;
  const u32 address = name.ipv4();
  if (network == 0 || address >> 16 != (127u << 8 | network)) return false;
  const bool loopback = (address & kLoopbackBit) != 0, six = (address & kSixBit) != 0;
  endpoint->place = loopback ? (six ? Place::Loopback6 : Place::Loopback4) : (six ? Place::Host6 : Place::Host);
  endpoint->host = address & kMaxHost;
  endpoint->port = name.port();
  if ((address & kLowBit) != 0) endpoint->port = static_cast<u16>(endpoint->port - kLowPortOffset);
  return true;
}

void set_virtual(SocketName* name, Where where, u32 host, u16 port) {
  const bool six = name->family() == kFamilyInet6;
  name->set_port(port);
  switch (where) {
    case Where::Outside:
      return;
    case Where::Wildcard4:
      return name->set_ipv4(0);
    case Where::Wildcard6:
      return six ? name->set_ipv6_tail(0) : name->set_ipv4(0);
    case Where::Host:
      return name->set_ipv4(kVirtualNetwork | host);
    case Where::Loopback4:
      return name->set_ipv4(127u << 24 | 1);
    case Where::Loopback6:
      return six ? name->set_ipv6_tail(1) : name->set_ipv4(127u << 24 | 1);
  }
}

u32 bit_of_bind(Where where, bool six_only) {
  switch (where) {
    case Where::Wildcard4:
      return kPortWildcard4;
    case Where::Wildcard6:
      return six_only ? kPortWildcard6 : kPortWildcardBoth;
    case Where::Loopback4:
      return kPortLoopback4;
    case Where::Loopback6:
      return kPortLoopback6;
    default:
      return kPortHost;
  }
}

Place place_of_bind(u32 bit) {
  switch (bit) {
    case kPortWildcard6:
      return Place::Host6;
    case kPortLoopback4:
      return Place::Loopback4;
    case kPortLoopback6:
      return Place::Loopback6;
    default:
      return Place::Host;
  }
}

u32 conflicts_of_bind(u32 bit) {
  switch (bit) {
    case kPortWildcard4:
      return kPortWildcard4 | kPortWildcardBoth | kPortHost | kPortLoopback4;
    case kPortWildcardBoth:
      return kPortBound;
    case kPortWildcard6:
      return kPortWildcard6 | kPortWildcardBoth | kPortLoopback6;
    case kPortHost:
      return kPortHost | kPortWildcard4 | kPortWildcardBoth;
    case kPortLoopback4:
      return kPortLoopback4 | kPortWildcard4 | kPortWildcardBoth;
    case kPortLoopback6:
      return kPortLoopback6 | kPortWildcard6 | kPortWildcardBoth;
    default:
      return bit;
  }
}

Where destination_of(Where where) {
  if (where == Where::Wildcard4) return Where::Loopback4;
  return where == Where::Wildcard6 ? Where::Loopback6 : where;
}

Place place_to_reach(Where where, u32 word) {
  switch (destination_of(where)) {
    case Where::Loopback4:
      if ((word & kPortLoopback4) != 0) return Place::Loopback4;
      return (word & (kPortWildcard4 | kPortWildcardBoth)) != 0 ? Place::Host : Place::Loopback4;
    case Where::Loopback6:
      if ((word & kPortLoopback6) != 0) return Place::Loopback6;
      if ((word & kPortWildcard6) != 0) return Place::Host6;
      return (word & kPortWildcardBoth) != 0 ? Place::Host : Place::Loopback6;
    default:
      return Place::Host;
  }
}

Place place_to_come_from(Where destination) {
  switch (destination_of(destination)) {
    case Where::Loopback4:
      return Place::Loopback4;
    case Where::Loopback6:
      return Place::Loopback6;
    default:
      return Place::Host;
  }
}

Where shown_alone(u16 family, Place place, u32 word) {
  switch (place) {
    case Place::Loopback4:
      return Where::Loopback4;
    case Place::Loopback6:
      return loopback_of(family, true);
    case Place::Host6:
      return Where::Wildcard6;
    case Place::Host:
      if (family == kFamilyInet6) return (word & kPortWildcardBoth) != 0 ? Where::Wildcard6 : Where::Host;
      return (word & kPortWildcard4) != 0 ? Where::Wildcard4 : Where::Host;
  }
  return Where::Host;
}

Where shown_connected(u16 family, Place shown, Place other) {
  const bool six = has_six(shown) || has_six(other);
  if (is_loopback(shown) || is_loopback(other) || six) return loopback_of(family, six);
  return Where::Host;
}

Where shown_sender(u16 family, Place sender, Place receiver, u32 word) {
  const Where where = shown_connected(family, sender, receiver);
  if (where != Where::Host || (word & kPortAsked) == 0) return where;
  return loopback_of(family, (word & kPortAskedLoopback6) != 0);
}

}  // namespace stasis::runtime
