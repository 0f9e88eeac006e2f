#include "restore/outside.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "launch/holder.h"
#include "os/tcp_repair.h"

namespace stasis::restore {

namespace {

constexpr std::uint32_t kForReading = 1, kForWriting = 2;
constexpr std::uint32_t kSpareSeconds = 30;  // beyond the time that the restore has

TcpConnectionState state_of(const image::TcpConnection& connection) {
  const image::KeptConnection& kept = connection.kept.front();
  TcpConnectionState state;
  state.end_sent = (connection.first_shutdown & kForWriting) != 0;
  state.end_received = (connection.first_shutdown & kForReading) != 0;
  state.send_sequence = kept.send_sequence;
  state.receive_sequence = kept.receive_sequence;
  state.received = connection.to_first;
  state.to_send = connection.to_second;
  state.unsent = kept.unsent;
  state.segment = kept.segment;
  state.options = kept.options;
  state.send_scale = kept.send_scale;
  state.receive_scale = kept.receive_scale;
  state.timestamp = kept.timestamp;
  state.window = kept.window;
  return state;
}

Error explained(Error error, const image::TcpConnection& connection) {
  const std::string what = "the TCP connection " + connection.printable;
  const bool bind = std::strcmp(error.syscall, "bind") == 0, connect = std::strcmp(error.syscall, "connect") == 0;
  if (error.error == EPERM && !bind && !connect) {
    return Error::of_errno(EPERM, error.syscall, "keeping " + what)
        .with_remedy("it needs CAP_NET_ADMIN; --tcp-close lets it be reset instead");
  }
  if (bind && error.error == EADDRNOTAVAIL) {
    return Error::of_errno(EADDRNOTAVAIL, "bind", "keeping " + what)
        .with_remedy("give this host its first address, restore where it is, or pass --tcp-close to have it reset");
  }
  if (connect && (error.error == EADDRNOTAVAIL || error.error == EADDRINUSE)) {
    return Error::of_errno(EADDRINUSE, "connect", what + " is in use on this host")
        .with_remedy("end who has it, or pass --tcp-close to have it reset");
  }
  error.doing = "keeping " + what;
  error.remedy = "--tcp-close lets it be reset instead";
  return error;
}

std::uint32_t send_buffer_of(const image::TcpConnection& connection) {
  std::uint32_t bytes = 0;
  for (const image::SocketOption& option : connection.first_options) {
    if (option.level == SOL_SOCKET && option.name == SO_SNDBUF && option.value.size() == sizeof bytes)
      std::memcpy(&bytes, option.value.data(), sizeof bytes);
  }
  return bytes;
}

// As its program had it, but for what has yet to be sent.
Status keep(const image::TcpConnection& connection, launch::Holder& holder) {
  const TcpConnectionState state = state_of(connection);
  auto socket =
      make_connection(state, connection.first_name, connection.second_name, static_cast<int>(connection.first_flags));
  if (!socket.ok()) return explained(std::move(socket).error(), connection);
  launch::Holder::Kept kept;
  kept.socket = socket.value().get();
  kept.reuse = connection.kept.front().reuse_address ? 1 : 0;
  kept.send_buffer = send_buffer_of(connection);
  kept.shut_down = state.end_sent && state.unsent > 0;
  kept.unsent.assign(state.to_send.end() - static_cast<std::ptrdiff_t>(state.unsent), state.to_send.end());
  return holder.keep(kept);
}

}  // namespace

Result<std::vector<std::uint8_t>> hold_outside_connections(const image::Image& image, const StartOptions& options) {
  std::vector<const image::TcpConnection*> connections;
  for (const image::TcpConnection& connection : image.tcp_connections) {
    if (!connection.kept.empty()) connections.push_back(&connection);
  }
  if (connections.empty()) return std::vector<std::uint8_t>();
  const std::string name = launch::name_of_holder(image.header.records_checksum, image.header.created_ns);
  if (options.tcp_close) {
    launch::reset_held(name);
    return std::vector<std::uint8_t>();
  }
  const Status held = launch::ask_holder(name, connections.size());
  if (held.ok()) return launch::address_of_holder(name);
  if (held.error().kind != ErrorKind::NotFound) return held.error();
  launch::Holder holder = STASIS_TRY(launch::Holder::start(options.keeper, options.image));
  for (const image::TcpConnection* connection : connections) STASIS_TRY(keep(*connection, holder));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options.timeout).count();
  STASIS_TRY(
      holder.hold(name, static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, 86400)) + kSpareSeconds));
  return launch::address_of_holder(name);
}

}  // namespace stasis::restore
