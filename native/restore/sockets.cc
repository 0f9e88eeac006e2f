// Sockets: pairs, connections, single sockets and listeners. Connections over TCP are made before the listeners, which may have their ports
// (runtime/restore_tcp.cc).
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "restore/builders.h"

namespace stasis::restore {

namespace {

wire::Array plan_options(const std::vector<image::SocketOption>& options, GroupBuilder& plan) {
  std::vector<wire::SocketOptionEntry> entries;
  for (const image::SocketOption& option : options) {
    const std::uint64_t value = plan.add_bytes(option.value);
    entries.push_back({option.level, option.name, value, option.value.size()});
  }
  return plan.bytes().add_array(entries);
}

// The image's validation has seen to it that an address fits.
template <std::size_t N>
std::uint32_t copy_address(const std::vector<std::uint8_t>& from, std::uint8_t (&to)[N]) {
  const std::size_t bytes = std::min(from.size(), N);
  if (bytes > 0) std::memcpy(to, from.data(), bytes);
  return static_cast<std::uint32_t>(bytes);
}

std::uint64_t add_detail(const wire::FdDetail& detail, std::uint32_t object, GroupBuilder& plan) {
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&detail);
  return plan.details[object] = plan.add_bytes({raw, sizeof detail});
}

std::uint64_t add_directory(const std::string& directory, GroupBuilder& plan) {
  return directory.empty() ? 0 : plan.add_string(directory);
}

void plan_pair(const image::SocketPair& pair, GroupBuilder& plan) {
  const bool first_held = plan.is_held(pair.object, 0), second_held = plan.is_held(pair.object, 1);
  if (!first_held && !second_held) return;
  const GroupBuilder::Place first = plan.add_parked(pair.object, 0), second = plan.add_parked(pair.object, 1);
  wire::FdDetail detail{};
  detail.options = plan_options(pair.first_options, plan);
  detail.peer_options = plan_options(pair.second_options, plan);
  detail.directory = add_directory(pair.directory, plan);
  detail.shutdown = pair.first_shutdown;
  detail.peer_shutdown = pair.second_shutdown;
  detail.ends = (first_held ? 0 : wire::kEndClosed) | (second_held ? 0 : wire::kPeerClosed) |
                (pair.keep_first_name ? wire::kKeepName : 0) | (pair.keep_second_name ? wire::kKeepPeerName : 0);
  detail.peer_address_bytes = copy_address(pair.second_name, detail.peer_address);
  const std::uint64_t value = add_detail(detail, pair.object, plan);
  const std::uint64_t to_first = plan.add_bytes(pair.to_first), to_second = plan.add_bytes(pair.to_second);
  wire::FdEntry& entry = plan.add_fd(wire::FdKind::SocketPair, first.slot, first_held ? first.fd : second.fd);
  entry.peer_slot = second.slot;
  entry.value = value;
  entry.family = AF_UNIX;
  entry.type = pair.socket_type;
  entry.flags = pair.first_flags;
  entry.peer_flags = pair.second_flags;
  entry.address_bytes = copy_address(pair.first_name, entry.address);
  entry.data = to_first;
  entry.data_bytes = pair.to_first.size();
  entry.peer_data = to_second;
  entry.peer_data_bytes = pair.to_second.size();
}

void plan_connection(const image::TcpConnection& connection, GroupBuilder& plan) {
  const bool first_held = plan.is_held(connection.object, 0), second_held = plan.is_held(connection.object, 1);
  if (!first_held && !second_held) return;
  const GroupBuilder::Place first = plan.add_parked(connection.object, 0),
                            second = plan.add_parked(connection.object, 1);
  wire::FdDetail detail{};
  detail.options = plan_options(connection.first_options, plan);
  detail.peer_options = plan_options(connection.second_options, plan);
  detail.shutdown = connection.first_shutdown;
  detail.peer_shutdown = connection.second_shutdown;
  detail.ends = (first_held ? 0 : wire::kEndClosed) | (second_held ? 0 : wire::kPeerClosed) |
                (connection.second_reset ? wire::kPeerReset : 0);
  detail.peer_address_bytes = copy_address(connection.second_name, detail.peer_address);
  const std::uint64_t value = add_detail(detail, connection.object, plan);
  const std::uint64_t to_first = plan.add_bytes(connection.to_first), to_second = plan.add_bytes(connection.to_second);
  const std::uint64_t printable = plan.add_string(connection.printable);
  wire::FdEntry& entry = plan.add_fd(wire::FdKind::Tcp, first.slot, first_held ? first.fd : second.fd);
  entry.peer_slot = second.slot;
  entry.value = value;
  entry.path = printable;
  entry.family = connection.family;
  entry.type = SOCK_STREAM;
  entry.protocol = IPPROTO_TCP;
  entry.flags = connection.first_flags;
  entry.peer_flags = connection.second_flags;
  entry.address_bytes = copy_address(connection.first_name, entry.address);
  entry.data = to_first;
  entry.data_bytes = connection.to_first.size();
  entry.peer_data = to_second;
  entry.peer_data_bytes = connection.to_second.size();
}

// The socket comes from the holder with all that the kernel keeps of it.
void plan_held(const image::TcpConnection& connection, std::uint32_t index, const RestoreInputs& inputs,
               GroupBuilder& plan) {
  if (!plan.is_held(connection.object, 0)) return;
  const GroupBuilder::Place place = plan.add_parked(connection.object, 0);
  wire::FdDetail detail{};
  detail.options = plan_options(connection.first_options, plan);
  const std::uint64_t value = add_detail(detail, connection.object, plan);
  const std::uint64_t printable = plan.add_string(connection.printable);
  wire::FdEntry& entry = plan.add_fd(wire::FdKind::Held, place.slot, place.fd);
  entry.peer_slot = wire::kNoSlot;
  entry.value = value;
  entry.path = printable;
  entry.family = connection.first_name[0];
  entry.type = SOCK_STREAM;
  entry.protocol = IPPROTO_TCP;
  entry.flags = connection.first_flags;
  entry.option = index;
  entry.address_bytes = copy_address(inputs.holder, entry.address);
}

// As a checkpoint with --tcp-close would have saved it.
image::TcpConnection reset(image::TcpConnection connection) {
  connection.family = connection.first_name[0];
  connection.first_name.clear();
  connection.second_name.clear();
  connection.to_second.clear();
  connection.first_shutdown = 0;
  connection.second_reset = true;
  connection.kept.clear();
  return connection;
}

void plan_listener(const image::ListeningSocket& socket, GroupBuilder& plan) {
  const GroupBuilder::Place place = plan.add_slot(socket.object);
  if (place.fd < 0) return;
  wire::FdDetail detail{};
  detail.options = plan_options(socket.socket_options, plan);
  detail.directory = add_directory(socket.directory, plan);
  const std::uint64_t value = add_detail(detail, socket.object, plan);
  const std::uint64_t printable = plan.add_string(socket.printable);
  wire::FdEntry& entry = plan.add_fd(wire::FdKind::Listen, place.slot, place.fd);
  entry.value = value;
  entry.path = printable;
  entry.flags = socket.flags;
  entry.option = socket.options;
  entry.capacity = socket.backlog;
  entry.family = socket.family;
  entry.type = socket.socket_type;
  entry.protocol = socket.protocol;
  entry.address_bytes = copy_address(socket.address, entry.address);
}

void plan_socket(const image::Socket& socket, GroupBuilder& plan) {
  const GroupBuilder::Place place = plan.add_slot(socket.object);
  if (place.fd < 0) return;
  wire::FdDetail detail{};
  detail.options = plan_options(socket.options, plan);
  detail.directory = add_directory(socket.directory, plan);
  detail.shutdown = socket.shutdown;
  detail.ends = socket.keep_name ? wire::kKeepName : 0;
  detail.peer_address_bytes = copy_address(socket.peer_name, detail.peer_address);
  const std::uint64_t value = add_detail(detail, socket.object, plan);
  const std::uint64_t printable = plan.add_string(socket.printable);
  wire::FdEntry& entry = plan.add_fd(wire::FdKind::Socket, place.slot, place.fd);
  entry.value = value;
  entry.path = printable;
  entry.flags = socket.flags;
  entry.family = socket.family;
  entry.type = socket.socket_type;
  entry.protocol = socket.protocol;
  entry.address_bytes = copy_address(socket.name, entry.address);
}

}  // namespace

Status plan_sockets(const image::Image& image, const RestoreInputs& inputs, GroupBuilder& plan) {
  for (const image::SocketPair& pair : image.socket_pairs) plan_pair(pair, plan);
  std::uint32_t kept = 0;
  for (const image::TcpConnection& connection : image.tcp_connections) {
    if (connection.kept.empty()) {
      plan_connection(connection, plan);
    } else if (inputs.tcp_close) {
      plan_connection(reset(connection), plan);
    } else {
      plan_held(connection, kept++, inputs, plan);
    }
  }
  for (const image::ListeningSocket& socket : image.listening_sockets) plan_listener(socket, plan);
  for (const image::Socket& socket : image.sockets) plan_socket(socket, plan);
  return {};
}

}  // namespace stasis::restore
