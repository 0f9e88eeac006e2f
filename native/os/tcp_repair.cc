#include "os/tcp_repair.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/scope_exit.h"

namespace stasis {

namespace {

constexpr int kOn = 1, kOffQuietly = -1, kNoSuchMode = 2;       // values of TCP_REPAIR
constexpr int kNoQueue = 0, kReceiveQueue = 1, kSendQueue = 2;  // of TCP_REPAIR_QUEUE
constexpr int kMostReadings = 8;
constexpr std::size_t kSlack = 1 << 18;  // a segment that is acknowledged in part stands in the queue as a whole
constexpr int kBufferLock = 72;          // SO_BUF_LOCK, 5.14
constexpr char kReading[] = "reading the state of a TCP connection";
constexpr char kMaking[] = "making a TCP connection again";

// include/net/tcp_states.h
constexpr int kFinWait1 = 4, kFinWait2 = 5, kCloseWait = 8, kLastAck = 9, kClosing = 11;
// linux/tcp.h: options of TCP_REPAIR_OPTIONS, by their numbers on the wire.
constexpr std::uint32_t kSegmentOption = 2, kScaleOption = 3, kSackOption = 4, kTimestampOption = 8;

bool set(int socket, int name, int value) { return ::setsockopt(socket, IPPROTO_TCP, name, &value, sizeof value) == 0; }

Result<std::uint32_t> get(int socket, int name) {
  std::uint32_t value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(socket, IPPROTO_TCP, name, &value, &length) != 0) return Error::of_errno("getsockopt", kReading);
  return value;
}

std::uint32_t outstanding(int socket, unsigned long request) {
  int bytes = 0;
  return ::ioctl(socket, request, &bytes) == 0 && bytes > 0 ? static_cast<std::uint32_t>(bytes) : 0;
}

// A peek in repair mode takes all of the send queue or nothing (net/ipv4/tcp.c, tcp_peek_sndq).
Result<std::vector<std::uint8_t>> peek(int socket, std::size_t bytes) {
  std::vector<std::uint8_t> data(bytes);
  const ssize_t count = ::recv(socket, data.data(), data.size(), MSG_PEEK | MSG_DONTWAIT);
  if (count < 0 && errno == EAGAIN) return std::vector<std::uint8_t>();
  if (count < 0) return Error::of_errno("recv", kReading);
  data.resize(static_cast<std::size_t>(count));
  return data;
}

// In repair mode. False if the connection has moved on meanwhile.
Result<bool> read_queues(int socket, TcpConnectionState& state) {
  set(socket, TCP_REPAIR_QUEUE, kReceiveQueue);
  const std::uint32_t received = STASIS_TRY(get(socket, TCP_QUEUE_SEQ));
  const std::uint32_t waiting = outstanding(socket, SIOCINQ);
  state.received = waiting == 0 ? std::vector<std::uint8_t>() : STASIS_TRY(peek(socket, waiting));
  set(socket, TCP_REPAIR_QUEUE, kSendQueue);
  const std::uint32_t sent = STASIS_TRY(get(socket, TCP_QUEUE_SEQ)), left = outstanding(socket, SIOCOUTQ);
  const std::uint32_t never = outstanding(socket, SIOCOUTQNSD);
  state.to_send = left == 0 ? std::vector<std::uint8_t>() : STASIS_TRY(peek(socket, left + kSlack));
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return Error::of_errno("getsockopt", kReading);
  length = sizeof state.window;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_REPAIR_WINDOW, state.window.data(), &length) != 0)
    return Error::of_errno("getsockopt", kReading);
  state.timestamp = STASIS_TRY(get(socket, TCP_TIMESTAMP));
  state.segment = STASIS_TRY(get(socket, TCP_MAXSEG));
  const int now = info.tcpi_state;
  state.end_sent = now == kFinWait1 || now == kFinWait2 || now == kClosing || now == kLastAck;
  state.end_received = now == kCloseWait || now == kClosing || now == kLastAck;
  state.options = info.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE);
  state.send_scale = info.tcpi_snd_wscale;
  state.receive_scale = info.tcpi_rcv_wscale;
  state.send_sequence = sent - (state.end_sent ? 1 : 0);
  state.receive_sequence = received;
  // The end of the stream is the last of what is counted.
  const std::uint32_t end_left = state.end_sent && left > 0 ? 1 : 0, bytes = left - end_left;
  state.unsent = never - std::min(never, end_left);
  set(socket, TCP_REPAIR_QUEUE, kReceiveQueue);
  const bool still = STASIS_TRY(get(socket, TCP_QUEUE_SEQ)) == received && state.received.size() == waiting &&
                     outstanding(socket, SIOCOUTQ) == left && outstanding(socket, SIOCOUTQNSD) == never;
  if (!still || state.to_send.size() < bytes) return false;
  state.to_send.erase(state.to_send.begin(), state.to_send.end() - static_cast<std::ptrdiff_t>(bytes));
  return true;
}

Result<bool> read_once(int socket, TcpConnectionState& state) {
  int reuse = 0;
  socklen_t length = sizeof reuse;
  ::getsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &reuse, &length);
  if (!set(socket, TCP_REPAIR, kOn)) return Error::of_errno("setsockopt", kReading);
  const ScopeExit off([socket, reuse] {
    // Kernels before 4.19 know no quiet way, and send a window probe.
    if (!set(socket, TCP_REPAIR, kOffQuietly)) set(socket, TCP_REPAIR, 0);
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  });
  return read_queues(socket, state);
}

Status fill(int socket, int queue, const std::uint8_t* data, std::size_t bytes) {
  if (!set(socket, TCP_REPAIR_QUEUE, queue)) return Error::of_errno("setsockopt", kMaking);
  std::size_t piece = bytes;
  while (bytes > 0) {
    const ssize_t count = ::send(socket, data, std::min(piece, bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && piece > 1 && (errno == ENOMEM || errno == EAGAIN)) {
      piece /= 2;  // the kernel wants one piece of memory for it
      continue;
    }
    if (count < 0) return Error::of_errno("send", kMaking);
    data += count;
    bytes -= static_cast<std::size_t>(count);
  }
  return {};
}

void make_room(int socket, int name, std::size_t bytes) {
  int room = 0;
  socklen_t length = sizeof room;
  ::getsockopt(socket, SOL_SOCKET, name == SO_RCVBUFFORCE ? SO_RCVBUF : SO_SNDBUF, &room, &length);
  if (static_cast<std::size_t>(room) >= 4 * bytes) return;
  // Doubled by the kernel, which counts what it spends beside the bytes (socket(7)).
  const int wanted = static_cast<int>(std::min<std::size_t>(2 * bytes + (1 << 16), 1 << 30));
  ::setsockopt(socket, SOL_SOCKET, name, &wanted, sizeof wanted);
  const int plain = name == SO_RCVBUFFORCE ? SO_RCVBUF : SO_SNDBUF;
  length = sizeof room;
  ::getsockopt(socket, SOL_SOCKET, plain, &room, &length);
  if (room < wanted) ::setsockopt(socket, SOL_SOCKET, plain, &wanted, sizeof wanted);
}

Status set_options(int socket, const TcpConnectionState& state) {
  struct Option {
    std::uint32_t code, value;
  };
  std::vector<Option> options = {{kSegmentOption, state.segment}};
  if ((state.options & TCPI_OPT_SACK) != 0) options.push_back({kSackOption, 0});
  if ((state.options & TCPI_OPT_WSCALE) != 0)
    options.push_back({kScaleOption, state.send_scale | state.receive_scale << 16});
  if ((state.options & TCPI_OPT_TIMESTAMPS) != 0) options.push_back({kTimestampOption, 0});
  if (::setsockopt(socket, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options.data(),
                   static_cast<socklen_t>(options.size() * sizeof(Option))) != 0)
    return Error::of_errno("setsockopt", kMaking);
  if ((state.options & TCPI_OPT_TIMESTAMPS) != 0 && !set(socket, TCP_TIMESTAMP, static_cast<int>(state.timestamp)))
    return Error::of_errno("setsockopt", kMaking);
  return {};
}

}  // namespace

// The kernel looks at the privilege before it looks at the value.
bool may_repair(int socket) { return !set(socket, TCP_REPAIR, kNoSuchMode) && errno == EINVAL; }

Result<TcpConnectionState> read_connection(int socket) {
  TcpConnectionState state;
  for (int reading = 0; reading < kMostReadings; ++reading) {
    if (STASIS_TRY(read_once(socket, state))) return state;
  }
  if (filter_length(socket) == 0) {
    STASIS_TRY(attach_drop_filter(socket));
    const ScopeExit open([socket] { detach_filter(socket); });
    for (int reading = 0; reading < kMostReadings; ++reading) {
      if (STASIS_TRY(read_once(socket, state))) return state;
    }
  }
  return Error::plain(ErrorKind::Busy, "reading the state of a TCP connection, which does not come to rest",
                      "try again");
}

Status attach_drop_filter(int socket) {
  sock_filter nothing = {BPF_RET | BPF_K, 0, 0, 0};
  const sock_fprog program = {1, &nothing};
  if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
    return Error::of_errno("setsockopt", "holding a TCP connection still");
  return {};
}

void detach_filter(int socket) {
  const int unused = 0;
  ::setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
}

unsigned filter_length(int socket) {
  socklen_t instructions = 0;
  return ::getsockopt(socket, SOL_SOCKET, SO_GET_FILTER, nullptr, &instructions) == 0 ? instructions : 0;
}

Result<UniqueFd> make_connection(const TcpConnectionState& state, const std::vector<std::uint8_t>& name,
                                 const std::vector<std::uint8_t>& peer_name, int status_flags) {
  std::uint16_t family = 0;
  std::memcpy(&family, name.data(), std::min(sizeof family, name.size()));
  UniqueFd made(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  if (!made) return Error::of_errno("socket", kMaking);
  const int socket = made.get();
  STASIS_TRY(attach_drop_filter(socket));
  if (!set(socket, TCP_REPAIR, kOn)) return Error::of_errno("setsockopt", kMaking);
  const int no = 0;
  if (family == AF_INET6) ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(name.data()), static_cast<socklen_t>(name.size())) != 0)
    return Error::of_errno("bind", kMaking);
  const std::size_t sent = state.to_send.size() - std::min<std::size_t>(state.unsent, state.to_send.size());
  set(socket, TCP_REPAIR_QUEUE, kSendQueue);
  const auto first_sent = state.send_sequence - static_cast<std::uint32_t>(state.to_send.size());
  if (!set(socket, TCP_QUEUE_SEQ, static_cast<int>(first_sent))) return Error::of_errno("setsockopt", kMaking);
  set(socket, TCP_REPAIR_QUEUE, kReceiveQueue);
  const auto first_received = state.receive_sequence - static_cast<std::uint32_t>(state.received.size());
  if (!set(socket, TCP_QUEUE_SEQ, static_cast<int>(first_received))) return Error::of_errno("setsockopt", kMaking);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(peer_name.data()),
                static_cast<socklen_t>(peer_name.size())) != 0)
    return Error::of_errno("connect", kMaking);
  STASIS_TRY(set_options(socket, state));
  make_room(socket, SO_RCVBUFFORCE, state.received.size());
  make_room(socket, SO_SNDBUFFORCE, state.to_send.size());
  STASIS_TRY(fill(socket, kReceiveQueue, state.received.data(), state.received.size()));
  STASIS_TRY(fill(socket, kSendQueue, state.to_send.data(), sent));
  if (::setsockopt(socket, IPPROTO_TCP, TCP_REPAIR_WINDOW, state.window.data(), sizeof state.window) != 0)
    return Error::of_errno("setsockopt", kMaking);
  // With the send queue chosen the end counts as sent. One that was received is behind us: the program reads it.
  if (state.end_sent && state.unsent == 0) ::shutdown(socket, SHUT_WR);
  set(socket, TCP_REPAIR_QUEUE, kNoQueue);
  if (state.end_received) ::shutdown(socket, SHUT_RD);
  ::setsockopt(socket, SOL_SOCKET, kBufferLock, &no, sizeof no);  // the kernel sizes the buffers by itself again
  if (::fcntl(socket, F_SETFL, status_flags & (O_NONBLOCK | O_ASYNC)) != 0) return Error::of_errno("fcntl", kMaking);
  return made;
}

}  // namespace stasis
