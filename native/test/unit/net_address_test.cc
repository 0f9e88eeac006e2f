// The arithmetic of environment addresses: every virtual endpoint has one real one and comes back from it.
#include "runtime/net_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "test/check.h"

namespace stasis::runtime {
namespace {

SocketName name_of(const std::string& address, u16 port) {
  SocketName name{};
  if (address.find(':') == std::string::npos) {
    sockaddr_in socket_address{};
    socket_address.sin_family = AF_INET;
    socket_address.sin_port = htons(port);
    CHECK_EQUAL(inet_pton(AF_INET, address.c_str(), &socket_address.sin_addr), 1);
    std::memcpy(name.bytes, &socket_address, sizeof socket_address);
  } else {
    sockaddr_in6 socket_address{};
    socket_address.sin6_family = AF_INET6;
    socket_address.sin6_port = htons(port);
    CHECK_EQUAL(inet_pton(AF_INET6, address.c_str(), &socket_address.sin6_addr), 1);
    std::memcpy(name.bytes, &socket_address, sizeof socket_address);
  }
  return name;
}

std::string text_of(const SocketName& name) {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(name.family(), name.bytes + (name.family() == AF_INET ? 4 : 8), text, sizeof text);
  return std::string(text) + " " + std::to_string(name.port());
}

Where where_of(const std::string& address) {
  u32 host = 0;
  return classify(name_of(address, 80), &host);
}

TEST(net_address_classes) {
  CHECK(where_of("0.0.0.0") == Where::Wildcard4);
  CHECK(where_of("::ffff:0.0.0.0") == Where::Wildcard4);
  CHECK(where_of("::") == Where::Wildcard6);
  CHECK(where_of("127.0.0.1") == Where::Loopback4);
  CHECK(where_of("127.0.1.1") == Where::Loopback4);
  CHECK(where_of("127.0.0.53") == Where::Outside);
  CHECK(where_of("::ffff:127.0.0.1") == Where::Loopback4);
  CHECK(where_of("::1") == Where::Loopback6);
  CHECK(where_of("::2") == Where::Outside);
  CHECK(where_of("fe80::1") == Where::Outside);
  CHECK(where_of("10.10.0.1") == Where::Host);
  CHECK(where_of("::ffff:10.10.0.1") == Where::Host);
  CHECK(where_of("10.10.0.0") == Where::Outside);
  CHECK(where_of("10.10.31.255") == Where::Host);
  CHECK(where_of("10.10.32.0") == Where::Outside);
  CHECK(where_of("10.11.0.1") == Where::Outside);
  CHECK(where_of("192.168.0.1") == Where::Outside);
  u32 host = 0;
  classify(name_of("10.10.3.4", 1), &host);
  CHECK_EQUAL(host, 3u * 256 + 4);
}

TEST(net_address_real_names) {
  SocketName name = name_of("10.10.0.1", 0);
  set_real(&name, 5, {Place::Host, 1, 8080});
  CHECK_EQUAL(text_of(name), "127.5.0.1 8080");
  set_real(&name, 5, {Place::Host, 1, 80});
  CHECK_EQUAL(text_of(name), "127.5.32.1 30080");
  set_real(&name, 5, {Place::Loopback4, 258, 0});
  CHECK_EQUAL(text_of(name), "127.5.129.2 0");
  SocketName six = name_of("::1", 0);
  set_real(&six, 254, {Place::Loopback6, 1, 9000});
  CHECK_EQUAL(text_of(six), "::ffff:127.254.192.1 9000");
}

TEST(net_address_real_names_come_back) {
  std::set<std::pair<u32, u16>> seen;
  for (Place place : {Place::Host, Place::Host6, Place::Loopback4, Place::Loopback6}) {
    for (u32 host : {1u, 2u, 254u, 255u, 256u, 4097u, kMaxHost}) {
      for (u32 port = 0; port < 65536; port++) {
        SocketName name = name_of(port % 2 == 0 ? "1.2.3.4" : "::", 0);
        set_real(&name, 77, {place, host, static_cast<u16>(port)});
        if (!seen.insert({name.ipv4(), name.port()}).second) CHECK(!"one real name for two endpoints");
        if (name.port() != 0 && name.port() < kFirstOpenPort) CHECK(!"a privileged port");
        Endpoint endpoint;
        if (!endpoint_of(name, 77, &endpoint) || endpoint.place != place || endpoint.host != host ||
            endpoint.port != port) {
          CHECK(!"a real name that does not come back");
        }
        if (endpoint_of(name, 78, &endpoint) || endpoint_of(name, 0, &endpoint)) CHECK(!"of another network");
      }
    }
  }
  Endpoint endpoint;
  CHECK(!endpoint_of(name_of("127.0.0.1", 80), 77, &endpoint));
  CHECK(!endpoint_of(name_of("::1", 80), 77, &endpoint));
}

TEST(net_address_virtual_names) {
  SocketName name = name_of("1.2.3.4", 9);
  set_virtual(&name, Where::Host, 258, 80);
  CHECK_EQUAL(text_of(name), "10.10.1.2 80");
  set_virtual(&name, Where::Loopback6, 0, 81);
  CHECK_EQUAL(text_of(name), "127.0.0.1 81");
  set_virtual(&name, Where::Wildcard6, 0, 82);
  CHECK_EQUAL(text_of(name), "0.0.0.0 82");
  SocketName six = name_of("fe80::1", 9);
  set_virtual(&six, Where::Host, 1, 80);
  CHECK_EQUAL(text_of(six), "::ffff:10.10.0.1 80");
  set_virtual(&six, Where::Loopback6, 0, 80);
  CHECK_EQUAL(text_of(six), "::1 80");
  set_virtual(&six, Where::Wildcard6, 0, 80);
  CHECK_EQUAL(text_of(six), ":: 80");
}

TEST(net_address_ways_to_a_port) {
  // Nothing known: to the address itself, where nobody answers.
  CHECK(place_to_reach(Where::Loopback4, 0) == Place::Loopback4);
  CHECK(place_to_reach(Where::Loopback6, 0) == Place::Loopback6);
  CHECK(place_to_reach(Where::Host, 0) == Place::Host);
  CHECK(place_to_reach(Where::Wildcard4, kPortWildcard4) == Place::Host);
  CHECK(place_to_reach(Where::Loopback4, kPortWildcardBoth) == Place::Host);
  CHECK(place_to_reach(Where::Loopback6, kPortWildcardBoth) == Place::Host);
  CHECK(place_to_reach(Where::Loopback6, kPortWildcard4) == Place::Loopback6);
  CHECK(place_to_reach(Where::Loopback6, kPortWildcard4 | kPortWildcard6) == Place::Host6);
  CHECK(place_to_reach(Where::Loopback4, kPortWildcard6) == Place::Loopback4);
  // The closer one wins, as in the kernel.
  CHECK(place_to_reach(Where::Loopback4, kPortWildcard4 | kPortLoopback4) == Place::Loopback4);
  for (Where where : {Where::Wildcard4, Where::Wildcard6, Where::Host, Where::Loopback4, Where::Loopback6}) {
    for (bool six_only : {false, true}) {
      const u32 bit = bit_of_bind(where, six_only);
      CHECK((conflicts_of_bind(bit) & bit) != 0);
      CHECK(place_to_reach(where, bit) == place_of_bind(bit));
      for (u32 other = 1; other <= kPortBound; other <<= 1) {
        CHECK_EQUAL((conflicts_of_bind(bit) & other) != 0, (conflicts_of_bind(other) & bit) != 0);
      }
    }
  }
}

TEST(net_address_what_is_shown) {
  CHECK(shown_alone(AF_INET, Place::Host, 0) == Where::Host);
  CHECK(shown_alone(AF_INET, Place::Host, kPortWildcard4) == Where::Wildcard4);
  CHECK(shown_alone(AF_INET6, Place::Host, kPortWildcard4) == Where::Host);
  CHECK(shown_alone(AF_INET6, Place::Host, kPortWildcardBoth) == Where::Wildcard6);
  CHECK(shown_alone(AF_INET6, Place::Host6, 0) == Where::Wildcard6);
  CHECK(shown_alone(AF_INET6, Place::Loopback4, 0) == Where::Loopback4);
  // Asked as 127.0.0.1, answered by a socket bound to all addresses.
  CHECK(shown_connected(AF_INET, Place::Host, Place::Loopback4) == Where::Loopback4);
  CHECK(shown_connected(AF_INET, Place::Loopback4, Place::Host) == Where::Loopback4);
  CHECK(shown_connected(AF_INET6, Place::Host, Place::Loopback6) == Where::Loopback6);
  CHECK(shown_connected(AF_INET6, Place::Host6, Place::Loopback6) == Where::Loopback6);
  CHECK(shown_connected(AF_INET6, Place::Host, Place::Loopback4) == Where::Loopback4);
  CHECK(shown_connected(AF_INET, Place::Host, Place::Host) == Where::Host);
  CHECK(shown_sender(AF_INET, Place::Host, Place::Host, 0) == Where::Host);
  CHECK(shown_sender(AF_INET, Place::Host, Place::Host, kPortAskedLoopback4) == Where::Loopback4);
  CHECK(shown_sender(AF_INET6, Place::Host, Place::Host, kPortAskedLoopback6) == Where::Loopback6);
  CHECK(shown_sender(AF_INET, Place::Loopback4, Place::Host, 0) == Where::Loopback4);
}

}  // namespace
}  // namespace stasis::runtime
