// TCP sockets: connections with both ends in the application, those whose other end is gone or outside (outside.h), those that nobody has accepted
// yet, and sockets that are not connected.
//
// What is on its way between two ends of the application has arrived at the receiver, since the loopback device delivers at
// once, or waits at the sender because the receiver's window is closed. Those bytes cannot be read there without privilege; so
// the receiver's buffer is made larger until all has arrived (drain), and peeked at.
//
// A killed application would leave the addresses of its connections to TIME_WAIT, in which nothing can be connected anew. So
// an application that is ended by a checkpoint has its connections reset (Objects::reset_connections).
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/deadline.h"
#include "base/scope_exit.h"
#include "checkpoint/sockets.h"

namespace stasis::checkpoint {

namespace {

// include/net/tcp_states.h
enum State {
  kEstablished = 1,
  kSynSent = 2,
  kSynReceived = 3,
  kFinWait1 = 4,
  kFinWait2 = 5,
  kClose = 7,
  kCloseWait = 8,
  kLastAck = 9,
  kClosing = 11
};

constexpr int kBufferLock = 72;  // SO_BUF_LOCK, 5.14
constexpr std::uint32_t kForReading = 1, kForWriting = 2;
constexpr auto kDrainTime = std::chrono::milliseconds(20);
constexpr auto kDrainStep = std::chrono::microseconds(100);
constexpr int kLargeBuffer = 64 << 20;

Result<tcp_info> info_of(const UniqueFd& socket) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
    return Error::of_errno("getsockopt", "reading the state of a TCP connection");
  return info;
}

bool has_sent_end(int state) {
  return state == kFinWait1 || state == kFinWait2 || state == kClosing || state == kLastAck;
}

// An IPv4 address in its IPv6 form becomes IPv4: the two ends of one connection may see it differently.
Address canonical(const Address& address) {
  static constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (family_of(address) != AF_INET6 || address.size() < sizeof(sockaddr_in6)) return address;
  sockaddr_in6 from;
  std::memcpy(&from, address.data(), sizeof from);
  if (std::memcmp(&from.sin6_addr, kMapped, sizeof kMapped) != 0) return address;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = from.sin6_port;
  std::memcpy(&to.sin_addr, from.sin6_addr.s6_addr + sizeof kMapped, sizeof to.sin_addr);
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&to);
  return {raw, raw + sizeof to};
}

sockaddr_storage storage_of(const Address& address) {
  sockaddr_storage storage{};
  std::memcpy(&storage, address.data(), std::min(address.size(), sizeof storage));
  return storage;
}

std::uint16_t port_of(const Address& address) {
  std::uint16_t port = 0;
  if (address.size() >= 4) std::memcpy(&port, address.data() + 2, sizeof port);
  return port;
}

bool is_of_this_host(Address address) {
  if (address.size() < 4) return false;
  std::memset(address.data() + 2, 0, 2);  // any port
  const UniqueFd probe(::socket(family_of(address), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return probe && ::bind(probe.get(), reinterpret_cast<const sockaddr*>(address.data()),
                         static_cast<socklen_t>(address.size())) == 0;
}

// Whether a listener bound to `name` takes connections to `to`.
bool takes(const Address& name, const Address& to) {
  if (port_of(name) != port_of(to)) return false;
  const Address listener = canonical(name), wanted = canonical(to);
  if (listener == wanted) return true;
  const std::size_t begin = family_of(listener) == AF_INET ? 4 : 8, bytes = family_of(listener) == AF_INET ? 4 : 16;
  return listener.size() >= begin + bytes && std::all_of(listener.begin() + static_cast<std::ptrdiff_t>(begin),
                                                         listener.begin() + static_cast<std::ptrdiff_t>(begin + bytes),
                                                         [](std::uint8_t byte) { return byte == 0; });
}

int queued(const UniqueFd& socket, unsigned long request) {
  int bytes = 0;
  return ::ioctl(socket.get(), request, &bytes) == 0 ? bytes : 0;
}

// Bytes that either end has been given and the other has not received. Both ends together count one byte for the opening of the
// connection, acknowledged to the end that began it; the end of a stream counts on both sides.
Result<std::int64_t> missing(const UniqueFd& first, const UniqueFd& second) {
  const tcp_info one = STASIS_TRY(info_of(first)), two = STASIS_TRY(info_of(second));
  const auto given = one.tcpi_bytes_acked + two.tcpi_bytes_acked + static_cast<std::uint64_t>(queued(first, SIOCOUTQ)) +
                     static_cast<std::uint64_t>(queued(second, SIOCOUTQ));
  return static_cast<std::int64_t>(given - one.tcpi_bytes_received - two.tcpi_bytes_received) - 1;
}

// Lets a receiver's buffer take more for a moment. Reading, even a peek, makes the kernel announce the larger window.
class LargerBuffer {
 public:
  explicit LargerBuffer(const UniqueFd& socket) : socket_(socket.get()) {
    bytes_ =
        socket_option(socket, SOL_SOCKET, SO_RCVBUF).ok() ? socket_option(socket, SOL_SOCKET, SO_RCVBUF).value() : 0;
    const auto lock = socket_option(socket, SOL_SOCKET, kBufferLock);
    lock_ = lock.ok() ? lock.value() : -1;
    set(SOL_SOCKET, SO_RCVBUFFORCE, kLargeBuffer / 2);
    if (geteuid() != 0 || !socket_option(socket, SOL_SOCKET, SO_RCVBUF).ok() ||
        socket_option(socket, SOL_SOCKET, SO_RCVBUF).value() < kLargeBuffer / 2)
      set(SOL_SOCKET, SO_RCVBUF, kLargeBuffer / 2);
    set(IPPROTO_TCP, TCP_WINDOW_CLAMP, kLargeBuffer);
  }
  ~LargerBuffer() {
    set(SOL_SOCKET, SO_RCVBUF, bytes_ / 2);
    if (lock_ >= 0) set(SOL_SOCKET, kBufferLock, lock_);
  }
  LargerBuffer(const LargerBuffer&) = delete;
  LargerBuffer& operator=(const LargerBuffer&) = delete;

 private:
  void set(int level, int name, int value) const { ::setsockopt(socket_, level, name, &value, sizeof value); }
  int socket_;
  int bytes_ = 0, lock_ = -1;
};

// True once everything has arrived.
Result<bool> drain(const UniqueFd& first, const UniqueFd& second) {
  if (STASIS_TRY(missing(first, second)) == 0) return true;
  const LargerBuffer one(first), two(second);
  const Deadline deadline = Deadline::in(kDrainTime);
  std::uint8_t byte;
  while (true) {
    ::recv(first.get(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    ::recv(second.get(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    if (STASIS_TRY(missing(first, second)) == 0) return true;
    if (deadline.passed()) return false;
    std::this_thread::sleep_for(kDrainStep);
  }
}

// The options of a TCP socket that a restore makes, which needs another SO_REUSEADDR while it works.
void say_reuse(std::vector<image::SocketOption>& options) {
  const bool said = std::any_of(options.begin(), options.end(), [](const image::SocketOption& option) {
    return option.level == SOL_SOCKET && option.name == SO_REUSEADDR;
  });
  if (!said) options.push_back({SOL_SOCKET, SO_REUSEADDR, {0, 0, 0, 0}});
}

bool shut_for_reading(const UniqueFd& socket) {
  pollfd query{socket.get(), POLLRDHUP, 0};
  return ::poll(&query, 1, 0) == 1 && (query.revents & POLLRDHUP) != 0;
}

// Why a connection to outside cannot be kept; null: it can.
const char* obstacle_to_keeping(const UniqueFd& socket) {
  if (!may_repair(socket.get())) return "keeping it needs CAP_NET_ADMIN";
  char layer[16] = "";
  socklen_t length = sizeof layer;
  if (::getsockopt(socket.get(), IPPROTO_TCP, TCP_ULP, layer, &length) == 0 && length > 0)
    return "its encryption by the kernel (TCP_ULP) cannot be read";
  if (filter_length(socket.get()) > 0) return "it has a filter of its own (SO_ATTACH_FILTER)";
  return nullptr;
}

}  // namespace

Status SocketSaver::save_tcp(const Socket& socket) {
  const tcp_info info = STASIS_TRY(info_of(socket.duplicate));
  const bool connected_once = info.tcpi_segs_out > 0 || info.tcpi_bytes_received > 0;
  if (info.tcpi_state == kClose && !connected_once) {
    image::Socket record;
    STASIS_TRY(save_single(socket, std::move(record), false));
    say_reuse(image_.sockets.back().options);
    return {};
  }
  if (info.tcpi_state == kClose) return save_tcp_alone(socket, has_pending_error(socket.duplicate));
  const std::string what = "a TCP connection, " + printable(socket.name) + " to " + printable(socket.peer_name);
  if (info.tcpi_state == kSynSent || info.tcpi_state == kSynReceived || socket.peer_name.empty()) {
    findings_.add_passing(socket.where, "a TCP connection that is being made", "try again");
    return {};
  }
  if (shared_outside(socket.inode)) {
    findings_.add(socket.where, what + ", that another process has open, too", "close it before the checkpoint");
    return {};
  }
  for (const auto& [inode, other] : sockets_) {
    if (other.kind.type != SOCK_STREAM || other.listening || other.peer_name.empty() || inode == socket.inode) continue;
    if (canonical(other.name) != canonical(socket.peer_name) || canonical(other.peer_name) != canonical(socket.name))
      continue;
    if (shared_outside(inode)) break;
    done_.insert(inode);
    return save_tcp_pair(socket, other);
  }
  std::optional<TcpSocketFacts> far;
  if (is_of_this_host(socket.peer_name)) {
    auto facts = diagnosis_->tcp_socket(storage_of(canonical(socket.peer_name)), storage_of(canonical(socket.name)));
    if (facts.ok()) {
      far = facts.value();
    } else if (facts.error().kind == ErrorKind::NotFound && info.tcpi_state != kEstablished) {
      return save_tcp_alone(socket, false);
    }
  }
  const bool open = far && (far->state == kEstablished || far->state == kCloseWait);
  if (far && far->inode == 0 && !open) return save_tcp_alone(socket, false);
  if (far && far->inode == 0 && open) {
    const bool ours = std::any_of(sockets_.begin(), sockets_.end(), [&](const auto& entry) {
      return entry.second.listening && entry.second.kind.type == SOCK_STREAM && entry.second.kind.family != AF_UNIX &&
             takes(entry.second.name, socket.peer_name);
    });
    if (ours && (far->receive_queue > 0 || far->state != kEstablished || info.tcpi_state != kEstablished)) {
      findings_.add_passing(socket.where, what + ", that nobody has accepted yet, with bytes sent over it",
                            "let the program accept it before the checkpoint");
      return {};
    }
    if (ours) {
      image::Socket record;
      record.peer_name = socket.peer_name;
      STASIS_TRY(save_single(socket, std::move(record), false));
      say_reuse(image_.sockets.back().options);
      return {};
    }
  }
  const char* obstacle = objects_.options().tcp_established ? obstacle_to_keeping(socket.duplicate) : "";
  if (obstacle == nullptr) return save_tcp_kept(socket);
  if (objects_.options().tcp_close) return save_tcp_alone(socket, true);
  if (*obstacle != 0) {
    findings_.add(socket.where, what + ", which is outside the application: " + obstacle,
                  "close it before the checkpoint, or pass --tcp-close to have it reset");
    return {};
  }
  const std::string remedy =
      "close it before the checkpoint, or pass --tcp-established to keep it (needs CAP_NET_ADMIN) or --tcp-close to "
      "have it reset";
  if (info.tcpi_state != kEstablished) {
    findings_.add_passing(socket.where, what + ", closed by the other side", remedy);
  } else {
    findings_.add(socket.where, what + ", which is outside the application", remedy);
  }
  return {};
}

Status SocketSaver::save_tcp_pair(const Socket& first, const Socket& second) {
  image::TcpConnection record;
  record.object = objects_.next();
  record.first_name = first.name;
  record.second_name = second.name;
  record.first_flags = first.flags;
  record.second_flags = second.flags;
  record.printable = printable(first.name) + " to " + printable(second.name);
  becomes(first, record.object, 0);
  becomes(second, record.object, 1);
  if (objects_.phase() == Phase::Stopped) {
    STASIS_TRY(add_options(first, record.first_options));
    STASIS_TRY(add_options(second, record.second_options));
    if (!STASIS_TRY(drain(first.duplicate, second.duplicate))) {
      findings_.add_passing(first.where,
                            "a TCP connection, " + record.printable + ", with more on its way than its buffers hold",
                            "try again, or raise net.core.rmem_max");
    }
    record.to_first = STASIS_TRY(read_tcp_queue(first.duplicate));
    record.to_second = STASIS_TRY(read_tcp_queue(second.duplicate));
    record.first_shutdown = has_sent_end(STASIS_TRY(info_of(first.duplicate)).tcpi_state) ? kForWriting : 0;
    record.second_shutdown = has_sent_end(STASIS_TRY(info_of(second.duplicate)).tcpi_state) ? kForWriting : 0;
  }
  say_reuse(record.first_options);
  say_reuse(record.second_options);
  image_.tcp_connections.push_back(std::move(record));
  objects_.to_reset.push_back(STASIS_TRY(objects_.descriptions[first.description].first().duplicate()));
  objects_.to_reset.push_back(STASIS_TRY(objects_.descriptions[second.description].first().duplicate()));
  return {};
}

// The other end is gone, or is to be.
Status SocketSaver::save_tcp_alone(const Socket& socket, bool reset) {
  image::TcpConnection record;
  record.object = objects_.next();
  const int state = STASIS_TRY(info_of(socket.duplicate)).tcpi_state;
  // Of a connection that has ended the kernel knows the own address only; it needs none any more.
  if (state != kClose && !reset) {
    record.first_name = socket.name;
    record.second_name = socket.peer_name;
  }
  record.first_flags = socket.flags;
  record.second_reset = reset;
  record.printable = printable(socket.name) + " to " + printable(socket.peer_name);
  becomes(socket, record.object, 0);
  if (objects_.phase() == Phase::Stopped) {
    STASIS_TRY(add_options(socket, record.first_options));
    record.to_first = STASIS_TRY(read_tcp_queue(socket.duplicate));
    if (!reset && (state == kClose || has_sent_end(state))) record.first_shutdown = kForWriting;
  }
  say_reuse(record.first_options);
  if (record.first_name.empty()) record.family = static_cast<std::uint32_t>(socket.kind.family);
  image_.tcp_connections.push_back(std::move(record));
  objects_.to_reset.push_back(STASIS_TRY(objects_.descriptions[socket.description].first().duplicate()));
  return {};
}

// The other end is outside, and the connection goes on.
Status SocketSaver::save_tcp_kept(const Socket& socket) {
  image::TcpConnection record;
  record.object = objects_.next();
  record.first_name = socket.name;
  record.second_name = socket.peer_name;
  record.first_flags = socket.flags;
  record.printable = printable(socket.name) + " to " + printable(socket.peer_name);
  becomes(socket, record.object, 0);
  image::KeptConnection& kept = record.kept.emplace_back();
  if (objects_.phase() == Phase::Stopped) {
    STASIS_TRY(add_options(socket, record.first_options));
    TcpConnectionState state = STASIS_TRY(
        objects_.outside->save(STASIS_TRY(objects_.descriptions[socket.description].first().duplicate()), kept));
    record.to_first = std::move(state.received);
    record.to_second = std::move(state.to_send);
    record.first_shutdown = (state.end_received || shut_for_reading(socket.duplicate) ? kForReading : 0) |
                            (state.end_sent ? kForWriting : 0);
  }
  image_.tcp_connections.push_back(std::move(record));
  return {};
}

// Connections that wait to be accepted stand last, in the order in which they will be: a UNIX listener's as the kernel tells
// it; TCP's by when their handshake ended, which clients know to the tick, and then by their numbers.
Status SocketSaver::order_waiting() {
  std::map<std::uint32_t, std::uint64_t> rank;
  std::uint64_t next = 1;
  for (const auto& [listener, inode] : waiting_) {
    const auto socket = sockets_.find(inode);
    if (socket != sockets_.end()) rank[objects_.descriptions[socket->second.description].first().object] = next++;
  }
  std::vector<std::pair<std::uint32_t, std::uint32_t>> connections;  // ms ago, object
  for (const auto& [inode, socket] : sockets_) {
    const std::uint32_t object = objects_.descriptions[socket.description].first().object;
    const bool waits = std::any_of(image_.sockets.begin(), image_.sockets.end(), [&](const image::Socket& record) {
      return record.object == object && record.socket_type == SOCK_STREAM && record.family != AF_UNIX &&
             !record.peer_name.empty();
    });
    if (waits && object != 0)
      connections.emplace_back(STASIS_TRY(info_of(socket.duplicate)).tcpi_last_ack_recv, object);
  }
  std::sort(connections.begin(), connections.end(),
            [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  for (const auto& connection : connections) rank[connection.second] = next++;
  std::stable_sort(image_.sockets.begin(), image_.sockets.end(),
                   [&](const image::Socket& a, const image::Socket& b) { return rank[a.object] < rank[b.object]; });
  return {};
}

}  // namespace stasis::checkpoint
