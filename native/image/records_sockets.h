// Records of sockets. image/records.h has the rules of the place.
#pragma once

#include "image/records.h"

namespace stasis::image {

struct SocketPair {
  static constexpr RecordType kType = RecordType::SocketPair;
  static constexpr const char* kName = "socket-pair";
  std::vector<FdNumber> first, second;
  std::uint32_t socket_type = 0, first_flags = 0, second_flags = 0;
  std::vector<std::uint8_t> to_first, to_second;
  std::uint32_t object = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("first", r.first, "version 1: fds of one end");
    v.field("second", r.second, "version 1: fds of the other end; none: closed");
    v.field("socket_type", r.socket_type, "SOCK_STREAM 1, SOCK_DGRAM 2, SOCK_SEQPACKET 5");
    v.hex("first_flags", r.first_flags, "status flags");
    v.hex("second_flags", r.second_flags, "status flags");
    v.field("to_first", r.to_first, "bytes queued for the first end (stream sockets)");
    v.field("to_second", r.to_second, "bytes queued for the second end (stream sockets)");
    v.since(2, "object", r.object, "number of this object, which descriptors refer to");
  }
};

struct ListeningSocket {
  static constexpr RecordType kType = RecordType::ListeningSocket;
  static constexpr const char* kName = "listening-socket";
  std::vector<FdNumber> numbers;
  std::uint32_t family = 0, socket_type = 0, protocol = 0, flags = 0, backlog = 0, options = 0;
  std::vector<std::uint8_t> address;
  std::string printable;
  std::uint32_t object = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("numbers", r.numbers, "version 1: every fd of this open file description");
    v.field("family", r.family, "AF_UNIX 1, AF_INET 2, AF_INET6 10");
    v.field("socket_type", r.socket_type, "SOCK_STREAM 1, SOCK_SEQPACKET 5");
    v.field("protocol", r.protocol, "protocol number");
    v.hex("flags", r.flags, "status flags");
    v.field("backlog", r.backlog, "listen(2) backlog");
    v.field("options", r.options,
            "bits: 1 reuse address, 2 reuse port, 4 v6 only, 8 keep alive, 16 no delay, 32 pass credentials, 64 unlink "
            "a stale path");
    v.field("address", r.address, "sockaddr bytes");
    v.field("printable", r.printable, "the address for people");
    v.since(2, "object", r.object, "number of this object, which descriptors refer to");
  }
};

}  // namespace stasis::image
