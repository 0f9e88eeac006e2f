// Listening sockets: address, backlog and the options that matter when they are bound again. Connections that wait to
// be accepted are not saved; their clients see a reset when the application ends.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "checkpoint/sockets.h"
#include "os/sock_diag.h"
#include "wire/plan.h"

namespace stasis::checkpoint {

namespace {

struct Option {
  int level, name;
  std::uint32_t bit;
};

constexpr Option kOptions[] = {
    {SOL_SOCKET, SO_REUSEADDR, wire::kSocketReuseAddress}, {SOL_SOCKET, SO_REUSEPORT, wire::kSocketReusePort},
    {SOL_SOCKET, SO_KEEPALIVE, wire::kSocketKeepAlive},    {SOL_SOCKET, SO_PASSCRED, wire::kSocketPassCred},
    {IPPROTO_IPV6, IPV6_V6ONLY, wire::kSocketV6Only},      {IPPROTO_TCP, TCP_NODELAY, wire::kSocketNoDelay},
};

bool is_set(const UniqueFd& socket, const Option& option) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(socket.get(), option.level, option.name, &value, &length) == 0 && value != 0;
}

// tcp_info holds the backlog of a listening socket where a connection has its SACK count (net/ipv4/tcp.c,
// tcp_get_info).
Result<std::uint32_t> backlog_of(const UniqueFd& socket, int family, std::uint64_t inode) {
  if (family == AF_UNIX) {
    const auto diagnosis = STASIS_TRY(SocketDiagnosis::open());
    return STASIS_TRY(diagnosis.unix_socket(inode)).backlog;
  }
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) {
    return Error::of_errno("getsockopt", "reading a socket's backlog");
  }
  return info.tcpi_sacked;
}

std::string printable(const sockaddr_storage& address, socklen_t length) {
  char text[INET6_ADDRSTRLEN] = "";
  switch (address.ss_family) {
    case AF_INET: {
      const auto& in = reinterpret_cast<const sockaddr_in&>(address);
      if (in.sin_port == 0) return "";
      ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
      return std::string(text) + ":" + std::to_string(ntohs(in.sin_port));
    }
    case AF_INET6: {
      const auto& in = reinterpret_cast<const sockaddr_in6&>(address);
      if (in.sin6_port == 0) return "";
      ::inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
      return "[" + std::string(text) + "]:" + std::to_string(ntohs(in.sin6_port));
    }
    case AF_UNIX: {
      const auto& un = reinterpret_cast<const sockaddr_un&>(address);
      if (length <= offsetof(sockaddr_un, sun_path)) return "";
      const std::string path(un.sun_path, length - offsetof(sockaddr_un, sun_path));
      if (path[0] == '\0') return "@" + path.substr(1);
      return path.c_str();
    }
    default:
      return "";
  }
}

Status get_name(const UniqueFd& socket, Side side, sockaddr_storage& address, socklen_t& length) {
  std::memset(&address, 0, sizeof address);
  length = sizeof address;
  auto* to = reinterpret_cast<sockaddr*>(&address);
  const int result =
      side == Side::Local ? ::getsockname(socket.get(), to, &length) : ::getpeername(socket.get(), to, &length);
  if (result != 0)
    return Error::of_errno(side == Side::Local ? "getsockname" : "getpeername", "reading a socket's address");
  return {};
}

}  // namespace

std::string printable_name(const UniqueFd& socket, Side side) {
  sockaddr_storage address;
  socklen_t length;
  if (!get_name(socket, side, address, length).ok()) return "";
  return printable(address, length);
}

bool is_shut_down(const UniqueFd& socket) {
  pollfd query{socket.get(), POLLRDHUP, 0};
  return ::poll(&query, 1, 0) == 1 && (query.revents & (POLLRDHUP | POLLHUP)) != 0;
}

Status save_listener(Objects& objects, Description& description, const UniqueFd& socket, image::Image& image,
                     Findings& findings) {
  const Fd& fd = description.first();
  sockaddr_storage address;
  socklen_t length;
  STASIS_TRY(get_name(socket, Side::Local, address, length));
  int type = 0, protocol = 0;
  socklen_t bytes = sizeof type;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &bytes) != 0 ||
      ::getsockopt(socket.get(), SOL_SOCKET, SO_PROTOCOL, &protocol, &bytes) != 0) {
    return Error::of_errno("getsockopt", "reading a socket's type");
  }
  const std::string where = fd.where();
  if (address.ss_family != AF_UNIX && protocol != IPPROTO_TCP) {
    findings.add(where, "a listening socket of protocol " + std::to_string(protocol), "close it before the checkpoint");
    return {};
  }
  image::ListeningSocket record;
  record.family = address.ss_family;
  record.socket_type = static_cast<std::uint32_t>(type);
  record.protocol = static_cast<std::uint32_t>(protocol);
  record.flags = fd.flags;
  auto backlog = backlog_of(socket, address.ss_family, fd.inode);
  if (!backlog.ok()) {
    if (objects.phase() == Phase::Before && backlog.error().kind == ErrorKind::NotFound) return {};
    return std::move(backlog).error().with_pid(fd.owner->pid).with_fd(fd.number);
  }
  record.backlog = backlog.value();
  for (const Option& option : kOptions) {
    // An option of another family answers an error, or a meaning of its own, to a UNIX socket.
    if (address.ss_family == AF_UNIX && option.level != SOL_SOCKET) continue;
    if (is_set(socket, option)) record.options |= option.bit;
  }
  record.printable = printable(address, length);
  if (address.ss_family == AF_UNIX && !record.printable.empty() && record.printable[0] != '@')
    record.options |= wire::kSocketUnlinkStale;
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&address);
  record.address.assign(raw, raw + length);
  record.object = objects.next();
  description.becomes(record.object);
  image.listening_sockets.push_back(std::move(record));
  return {};
}

}  // namespace stasis::checkpoint
