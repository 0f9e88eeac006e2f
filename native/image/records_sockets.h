// Records of sockets. image/records.h has the rules of the place.
#pragma once

#include <array>

#include "image/records.h"

namespace stasis::image {

// A descriptor on its way through a UNIX socket (SCM_RIGHTS).
struct Right {
  std::uint32_t object = 0, end = 0;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("object", r.object, "the object it stands for");
    v.field("end", r.end, "which end of it");
  }
};

// What waits in a socket to be received: a datagram or packet, or a run of a stream.
struct Message {
  std::vector<std::uint8_t> data;
  std::vector<std::uint8_t> from;
  std::uint32_t sender = 0;
  std::vector<Right> rights;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("data", r.data, "its bytes");
    v.field("from", r.from, "sockaddr of the sender, as recvfrom(2) gives it");
    v.field("sender", r.sender, "the socket that has that address now, 0: none of the application's");
    v.field("rights", r.rights, "descriptors that travel with it");
  }
};

struct SocketOption {
  std::uint32_t level = 0, name = 0;
  std::vector<std::uint8_t> value;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("level", r.level, "as setsockopt(2)");
    v.field("name", r.name, "as setsockopt(2)");
    v.field("value", r.value, "what getsockopt(2) gave; buffer sizes as they are set");
  }
};

struct SocketPair {
  static constexpr RecordType kType = RecordType::SocketPair;
  static constexpr const char* kName = "socket-pair";
  std::vector<FdNumber> first, second;
  std::uint32_t socket_type = 0, first_flags = 0, second_flags = 0;
  std::vector<std::uint8_t> to_first, to_second;
  std::uint32_t object = 0;
  std::vector<Message> messages_to_first, messages_to_second;
  std::vector<SocketOption> first_options, second_options;
  std::uint32_t first_shutdown = 0, second_shutdown = 0;
  std::vector<std::uint8_t> first_name, second_name;
  bool keep_first_name = false, keep_second_name = false;
  std::string directory;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("first", r.first, "version 1: fds of one end");
    v.field("second", r.second, "version 1: fds of the other end; none: closed");
    v.field("socket_type", r.socket_type, "SOCK_STREAM 1, SOCK_DGRAM 2, SOCK_SEQPACKET 5");
    v.hex("first_flags", r.first_flags, "status flags");
    v.hex("second_flags", r.second_flags, "status flags");
    v.field("to_first", r.to_first, "bytes queued for the first end, if they are but a stream of bytes");
    v.field("to_second", r.to_second, "bytes queued for the second end, likewise");
    v.since(2, "object", r.object, "number of this object, which descriptors refer to");
    v.since(2, "messages_to_first", r.messages_to_first, "queued for the first end, if they are more than that");
    v.since(2, "messages_to_second", r.messages_to_second, "queued for the second end");
    v.since(2, "first_options", r.first_options, "options that differ from a fresh socket's");
    v.since(2, "second_options", r.second_options, "options of the second end");
    v.since(2, "first_shutdown", r.first_shutdown, "shut down for reading 1, for writing 2");
    v.since(2, "second_shutdown", r.second_shutdown, "likewise");
    v.since(2, "first_name", r.first_name, "sockaddr that the first end is bound to");
    v.since(2, "second_name", r.second_name, "of the second end; an end that was accepted has its listener's");
    v.since(2, "keep_first_name", r.keep_first_name, "the name's file is there");
    v.since(2, "keep_second_name", r.keep_second_name, "the name's file is there, and is no listener's");
    v.since(2, "directory", r.directory, "where names that do not begin with / count from");
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
  std::vector<SocketOption> socket_options;
  std::string directory;
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
    v.since(2, "socket_options", r.socket_options, "options that differ from a fresh socket's");
    v.since(2, "directory", r.directory, "where a name that does not begin with / counts from");
  }
};

// One socket by itself: UDP, UNIX datagrams, or a stream that is not connected, or whose connection nobody has accepted yet.
struct Socket {
  static constexpr RecordType kType = RecordType::Socket;
  static constexpr const char* kName = "socket";
  std::uint32_t object = 0;
  std::uint32_t family = 0, socket_type = 0, protocol = 0, flags = 0;
  std::vector<std::uint8_t> name, peer_name;
  bool keep_name = false;
  std::uint32_t shutdown = 0;
  std::vector<Message> messages;
  std::vector<SocketOption> options;
  std::string printable, directory;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("object", r.object, "number of this object, which descriptors refer to");
    v.field("family", r.family, "AF_UNIX 1, AF_INET 2, AF_INET6 10");
    v.field("socket_type", r.socket_type, "SOCK_STREAM 1, SOCK_DGRAM 2, SOCK_SEQPACKET 5");
    v.field("protocol", r.protocol, "protocol number");
    v.hex("flags", r.flags, "status flags");
    v.field("name", r.name, "sockaddr that it is bound to");
    v.field("peer_name", r.peer_name, "sockaddr that it is connected to; waiting connections stand in their order");
    v.field("keep_name", r.keep_name, "the name's file is there");
    v.field("shutdown", r.shutdown, "shut down for reading 1, for writing 2");
    v.field("messages", r.messages, "queued");
    v.field("options", r.options, "options that differ from a fresh socket's");
    v.field("printable", r.printable, "the addresses for people");
    v.field("directory", r.directory, "where names that do not begin with / count from");
  }
};

// What the kernel knows of a TCP connection whose peer is outside the application, and goes on without it.
struct KeptConnection {
  std::uint32_t send_sequence = 0, receive_sequence = 0, unsent = 0, segment = 0, options = 0;
  std::uint32_t send_scale = 0, receive_scale = 0, timestamp = 0;
  bool reuse_address = false;
  std::array<std::uint32_t, 5> window{};
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("send_sequence", r.send_sequence,
            "sequence number behind the bytes that are on their way to the second end");
    v.field("receive_sequence", r.receive_sequence, "of what comes next from there");
    v.field("unsent", r.unsent, "how many of the last bytes to the second end were never sent");
    v.field("segment", r.segment, "largest segment that the second end takes");
    v.field("options", r.options, "negotiated: time stamps 1, SACK 2, window scales 4");
    v.field("send_scale", r.send_scale, "window scale of the second end");
    v.field("receive_scale", r.receive_scale, "of the first end");
    v.field("timestamp", r.timestamp, "time stamp of the moment (TCP_TIMESTAMP)");
    v.field("reuse_address", r.reuse_address, "SO_REUSEADDR");
    v.field("window", r.window, "struct tcp_repair_window of linux/tcp.h");
  }
};

// A TCP connection with both ends in the application, or with one whose peer is gone or outside.
struct TcpConnection {
  static constexpr RecordType kType = RecordType::TcpConnection;
  static constexpr const char* kName = "tcp-connection";
  std::uint32_t object = 0;
  std::uint32_t family = 0;
  std::vector<std::uint8_t> first_name, second_name;
  std::uint32_t first_flags = 0, second_flags = 0;
  std::vector<SocketOption> first_options, second_options;
  std::vector<std::uint8_t> to_first, to_second;
  std::uint32_t first_shutdown = 0, second_shutdown = 0;
  bool second_reset = false;
  std::string printable;
  std::vector<KeptConnection> kept;
  template <class V, class R>
  static void describe(V& v, R& r) {
    v.field("object", r.object, "number of this object, which descriptors refer to");
    v.field("family", r.family, "AF_INET 2, AF_INET6 10, of ends without a name");
    v.field("first_name", r.first_name, "sockaddr of the first end; none: any of the loopback device");
    v.field("second_name", r.second_name, "sockaddr of the second end; likewise");
    v.hex("first_flags", r.first_flags, "status flags");
    v.hex("second_flags", r.second_flags, "status flags");
    v.field("first_options", r.first_options, "options that differ from a fresh socket's");
    v.field("second_options", r.second_options, "options of the second end");
    v.field("to_first", r.to_first, "bytes on their way to the first end, received or not");
    v.field("to_second", r.to_second, "bytes on their way to the second end");
    v.field("first_shutdown", r.first_shutdown, "shut down for writing: 2");
    v.field("second_shutdown", r.second_shutdown, "likewise");
    v.field("second_reset", r.second_reset, "the second end is gone, and with a reset");
    v.field("printable", r.printable, "the addresses for people");
    v.field("kept", r.kept,
            "one: the second end is outside, and the connection goes on; then shut down for reading: 1");
  }
};

}  // namespace stasis::image
