// What waits in the application's sockets, and the descriptors that travel with it.
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "restore/builders.h"

namespace stasis::restore {

namespace {

template <class Function>
void for_each_queue(const image::Image& image, Function&& function) {
  for (const image::SocketPair& pair : image.socket_pairs) {
    function(pair.object, 0u, pair.messages_to_first);
    function(pair.object, 1u, pair.messages_to_second);
  }
  for (const image::Socket& socket : image.sockets) function(socket.object, 0u, socket.messages);
}

wire::MessageEntry plan_message(const image::Message& message, GroupBuilder& plan) {
  wire::MessageEntry entry{};
  entry.data = plan.add_bytes(message.data);
  entry.bytes = message.data.size();
  std::vector<std::uint32_t> slots;
  for (const image::Right& right : message.rights) slots.push_back(plan.slot_of(right.object, right.end));
  entry.rights = plan.bytes().add_array(slots).offset;
  entry.right_count = static_cast<std::uint32_t>(slots.size());
  entry.sender = message.sender == 0 ? wire::kNoSlot : plan.slot_of(message.sender, 0);
  entry.from_bytes = static_cast<std::uint32_t>(std::min(message.from.size(), sizeof entry.from));
  if (entry.from_bytes > 0) std::memcpy(entry.from, message.from.data(), entry.from_bytes);
  return entry;
}

}  // namespace

void use_in_flight(const image::Image& image, GroupBuilder& plan) {
  for_each_queue(image, [&](std::uint32_t, std::uint32_t, const std::vector<image::Message>& messages) {
    for (const image::Message& message : messages) {
      for (const image::Right& right : message.rights) plan.use_in_flight(right.object, right.end);
    }
  });
}

void plan_queues(const image::Image& image, GroupBuilder& plan) {
  for_each_queue(image, [&](std::uint32_t object, std::uint32_t end, const std::vector<image::Message>& messages) {
    const auto detail = plan.details.find(object);
    if (messages.empty() || detail == plan.details.end()) return;
    std::vector<wire::MessageEntry> entries;
    for (const image::Message& message : messages) entries.push_back(plan_message(message, plan));
    const wire::Array array = plan.bytes().add_array(entries);
    const std::size_t member = end == 0 ? offsetof(wire::FdDetail, messages) : offsetof(wire::FdDetail, peer_messages);
    plan.bytes().write(detail->second + member, {reinterpret_cast<const std::uint8_t*>(&array), sizeof array});
  });
}

}  // namespace stasis::restore
