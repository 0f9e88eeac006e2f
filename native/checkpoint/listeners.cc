// Listening sockets: address, backlog and options. Connections that wait to be accepted are saved with the application's own sockets that made
// them; clients outside see a reset when the application ends.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "checkpoint/sockets.h"
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
  const auto value = socket_option(socket, option.level, option.name);
  return value.ok() && value.value() != 0;
}

// tcp_info holds the backlog of a listening socket where a connection has its SACK count (net/ipv4/tcp.c,
// tcp_get_info).
Result<std::uint32_t> tcp_backlog(const UniqueFd& socket) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) {
    return Error::of_errno("getsockopt", "reading a socket's backlog");
  }
  return info.tcpi_sacked;
}

}  // namespace

Status SocketSaver::save_listener(const Socket& socket) {
  const bool is_unix = socket.kind.family == AF_UNIX;
  image::ListeningSocket record;
  record.object = objects_.next();
  record.family = static_cast<std::uint32_t>(socket.kind.family);
  record.socket_type = static_cast<std::uint32_t>(socket.kind.type);
  record.protocol = static_cast<std::uint32_t>(socket.kind.protocol);
  record.flags = socket.flags;
  if (is_unix) {
    const auto facts = facts_.find(socket.inode);
    if (facts == facts_.end()) return {};  // closed in the meantime; or a finding has said so
    record.backlog = facts->second.backlog;
  } else {
    record.backlog = STASIS_TRY(tcp_backlog(socket.duplicate));
  }
  for (const Option& option : kOptions) {
    // An option of another family answers an error, or a meaning of its own, to a UNIX socket.
    if (is_unix && option.level != SOL_SOCKET) continue;
    if (is_set(socket.duplicate, option)) record.options |= option.bit;
  }
  record.address = socket.name;
  record.printable = printable(socket.name);
  if (path_of(socket.name)) record.options |= wire::kSocketUnlinkStale;
  record.directory = directory_for(socket, socket.name);
  STASIS_TRY(add_options(socket, record.socket_options));
  becomes(socket, record.object);
  image_.listening_sockets.push_back(std::move(record));
  return {};
}

}  // namespace stasis::checkpoint
