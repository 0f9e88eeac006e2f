#include "checkpoint/socket_options.h"

#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <optional>

namespace stasis::checkpoint {

namespace {

constexpr int kBufferLock = 72;                 // SO_BUF_LOCK, 5.14
constexpr int kSendLock = 1, kReceiveLock = 2;  // SOCK_SNDBUF_LOCK, SOCK_RCVBUF_LOCK
constexpr std::size_t kLargest = 64;

struct Known {
  int level, name;
};

// What a program may set and read back as it was set. Not here: what the kernel adjusts by itself (window clamps, quick
// acknowledgements, the processor), what only tells (SO_ERROR, SO_ACCEPTCONN), and what takes a privilege to set at all.
constexpr Known kSocket[] = {
    {SOL_SOCKET, SO_REUSEADDR}, {SOL_SOCKET, SO_REUSEPORT}, {SOL_SOCKET, SO_KEEPALIVE},   {SOL_SOCKET, SO_BROADCAST},
    {SOL_SOCKET, SO_DONTROUTE}, {SOL_SOCKET, SO_OOBINLINE}, {SOL_SOCKET, SO_LINGER},      {SOL_SOCKET, SO_PRIORITY},
    {SOL_SOCKET, SO_RCVLOWAT},  {SOL_SOCKET, SO_RCVTIMEO},  {SOL_SOCKET, SO_SNDTIMEO},    {SOL_SOCKET, SO_PASSCRED},
    {SOL_SOCKET, SO_PASSSEC},   {SOL_SOCKET, SO_TIMESTAMP}, {SOL_SOCKET, SO_TIMESTAMPNS}, {SOL_SOCKET, SO_TIMESTAMPING},
    {SOL_SOCKET, SO_RXQ_OVFL},  {SOL_SOCKET, SO_PEEK_OFF},  {SOL_SOCKET, SO_ZEROCOPY},
};
constexpr Known kInet[] = {
    {IPPROTO_IP, IP_TOS},          {IPPROTO_IP, IP_TTL},      {IPPROTO_IP, IP_PKTINFO},
    {IPPROTO_IP, IP_RECVTOS},      {IPPROTO_IP, IP_RECVTTL},  {IPPROTO_IP, IP_RECVERR},
    {IPPROTO_IP, IP_MTU_DISCOVER}, {IPPROTO_IP, IP_FREEBIND}, {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
};
constexpr Known kInet6[] = {
    {IPPROTO_IPV6, IPV6_V6ONLY},      {IPPROTO_IPV6, IPV6_UNICAST_HOPS}, {IPPROTO_IPV6, IPV6_TCLASS},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO}, {IPPROTO_IPV6, IPV6_RECVTCLASS},   {IPPROTO_IPV6, IPV6_RECVHOPLIMIT},
    {IPPROTO_IPV6, IPV6_RECVERR},     {IPPROTO_IPV6, IPV6_MTU_DISCOVER},
};
constexpr Known kTcp[] = {
    {IPPROTO_TCP, TCP_NODELAY},    {IPPROTO_TCP, TCP_CORK},         {IPPROTO_TCP, TCP_KEEPIDLE},
    {IPPROTO_TCP, TCP_KEEPINTVL},  {IPPROTO_TCP, TCP_KEEPCNT},      {IPPROTO_TCP, TCP_SYNCNT},
    {IPPROTO_TCP, TCP_LINGER2},    {IPPROTO_TCP, TCP_USER_TIMEOUT}, {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
    {IPPROTO_TCP, TCP_CONGESTION},
};
constexpr Known kListener[] = {{IPPROTO_TCP, TCP_DEFER_ACCEPT}, {IPPROTO_TCP, TCP_FASTOPEN}};
// A connection answers with other values than a fresh socket, which it does not take.
constexpr Known kDatagram[] = {
    {IPPROTO_IP, IP_MULTICAST_TTL},
    {IPPROTO_IP, IP_MULTICAST_LOOP},
};
constexpr Known kDatagram6[] = {
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP},
};

std::optional<std::vector<std::uint8_t>> value_of(const UniqueFd& socket, const Known& option) {
  std::vector<std::uint8_t> value(kLargest);
  socklen_t length = kLargest;
  if (::getsockopt(socket.get(), option.level, option.name, value.data(), &length) != 0) return std::nullopt;
  value.resize(length);
  return value;
}

class Comparison {
 public:
  Comparison(const UniqueFd& socket, const UniqueFd& fresh) : socket_(socket), fresh_(fresh) {}

  template <std::size_t N>
  void look(const Known (&options)[N]) {
    for (const Known& option : options) {
      auto value = value_of(socket_, option);
      if (!value || value->empty() || value == value_of(fresh_, option)) continue;
      changed_.push_back(
          {static_cast<std::uint32_t>(option.level), static_cast<std::uint32_t>(option.name), std::move(*value)});
    }
  }

  // The kernel doubles what is set, and adjusts what was not set (socket(7)). Kernels before 5.14 do not tell which.
  void look_at_buffers() {
    const auto lock = socket_option(socket_, SOL_SOCKET, kBufferLock);
    if (!lock.ok()) return;
    if ((lock.value() & kSendLock) != 0) add_buffer(SO_SNDBUF);
    if ((lock.value() & kReceiveLock) != 0) add_buffer(SO_RCVBUF);
  }

  std::vector<image::SocketOption> take() { return std::move(changed_); }

 private:
  void add_buffer(int name) {
    const auto bytes = socket_option(socket_, SOL_SOCKET, name);
    if (!bytes.ok()) return;
    const std::int32_t half = bytes.value() / 2;
    const auto* raw = reinterpret_cast<const std::uint8_t*>(&half);
    changed_.push_back({SOL_SOCKET, static_cast<std::uint32_t>(name), {raw, raw + sizeof half}});
  }

  const UniqueFd &socket_, &fresh_;
  std::vector<image::SocketOption> changed_;
};

}  // namespace

Result<int> socket_option(const UniqueFd& socket, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(socket.get(), level, name, &value, &length) != 0)
    return Error::of_errno("getsockopt", "reading a socket's options");
  return value;
}

Result<std::vector<image::SocketOption>> changed_options(const UniqueFd& socket, const SocketKind& kind) {
  const UniqueFd fresh(::socket(kind.family, kind.type | SOCK_CLOEXEC, kind.protocol));
  if (!fresh) return Error::of_errno("socket", "comparing a socket's options");
  Comparison comparison(socket, fresh);
  comparison.look(kSocket);
  if (kind.family == AF_INET || kind.family == AF_INET6) comparison.look(kInet);
  if (kind.family == AF_INET6) comparison.look(kInet6);
  if (kind.family != AF_UNIX && kind.type == SOCK_STREAM) {
    comparison.look(kTcp);
    const auto listening = socket_option(socket, SOL_SOCKET, SO_ACCEPTCONN);
    if (listening.ok() && listening.value() != 0) comparison.look(kListener);
  } else if (kind.family != AF_UNIX) {
    comparison.look(kDatagram);
    if (kind.family == AF_INET6) comparison.look(kDatagram6);
  }
  comparison.look_at_buffers();
  return comparison.take();
}

}  // namespace stasis::checkpoint
