// Sockets: pairs with the bytes queued in them, and listening sockets, which are bound anew.
#include <cstring>

#include "restore/builders.h"

namespace stasis::restore {

namespace {

void plan_pair(const image::SocketPair& pair, GroupBuilder& plan) {
  const GroupBuilder::Place first = plan.add_slot(pair.object, 0), second = plan.add_slot(pair.object, 1);
  if (first.fd < 0 && second.fd < 0) return;
  const std::uint64_t to_first = plan.add_bytes(pair.to_first), to_second = plan.add_bytes(pair.to_second);
  wire::FdEntry& entry = plan.add_fd(wire::FdKind::SocketPair, first.slot, first.fd < 0 ? second.fd : first.fd);
  entry.peer_slot = second.slot;
  entry.type = pair.socket_type;
  entry.flags = pair.first_flags;
  entry.peer_flags = pair.second_flags;
  entry.data = to_first;
  entry.data_bytes = pair.to_first.size();
  entry.peer_data = to_second;
  entry.peer_data_bytes = pair.to_second.size();
}

Status plan_listener(const image::ListeningSocket& socket, GroupBuilder& plan) {
  const GroupBuilder::Place place = plan.add_slot(socket.object);
  if (place.fd < 0) return {};
  const std::uint64_t printable = plan.add_string(socket.printable);
  wire::FdEntry& entry = plan.add_fd(wire::FdKind::Listen, place.slot, place.fd);
  if (socket.address.size() > sizeof entry.address || socket.address.size() < sizeof(std::uint16_t)) {
    return Error::plain(ErrorKind::Damaged, "a listening socket has an impossible address").with_fd(place.fd);
  }
  entry.path = printable;
  entry.flags = socket.flags;
  entry.option = socket.options;
  entry.capacity = socket.backlog;
  entry.family = socket.family;
  entry.type = socket.socket_type;
  entry.protocol = socket.protocol;
  entry.address_bytes = static_cast<std::uint32_t>(socket.address.size());
  std::memcpy(entry.address, socket.address.data(), socket.address.size());
  return {};
}

}  // namespace

Status plan_sockets(const image::Image& image, GroupBuilder& plan) {
  for (const image::SocketPair& pair : image.socket_pairs) plan_pair(pair, plan);
  for (const image::ListeningSocket& socket : image.listening_sockets) STASIS_TRY(plan_listener(socket, plan));
  return {};
}

}  // namespace stasis::restore
