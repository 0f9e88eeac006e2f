// Pipes within the application, with the bytes that were in flight.
#include <fstream>
#include <string>

#include "restore/builders.h"

namespace stasis::restore {

namespace {

// The largest pipe that a process without CAP_SYS_RESOURCE may make (pipe(7)).
std::uint64_t pipe_max_bytes() {
  std::uint64_t bytes = 1 << 20;
  std::ifstream("/proc/sys/fs/pipe-max-size") >> bytes;
  return bytes;
}

wire::Array plan_packets(const image::Pipe& pipe, GroupBuilder& plan) {
  std::vector<wire::MessageEntry> entries;
  std::size_t at = 0;
  for (const image::PipePacket& packet : pipe.packets) {
    wire::MessageEntry& entry = entries.emplace_back();
    entry = {};
    entry.data = plan.add_bytes(std::span(pipe.data).subspan(at, packet.bytes));
    entry.bytes = packet.bytes;
    entry.sender = wire::kNoSlot;
    entry.packet = packet.packet;
    at += packet.bytes;
  }
  return plan.bytes().add_array(entries);
}

}  // namespace

Status plan_pipes(const image::Image& image, GroupBuilder& plan) {
  constexpr std::uint32_t first_more = 2;  // the first end behind those for reading and writing
  const std::uint64_t max_bytes = image.pipes.empty() ? 0 : pipe_max_bytes();
  for (const image::Pipe& pipe : image.pipes) {
    const bool read = plan.is_held(pipe.object, 0), written = plan.is_held(pipe.object, 1);
    bool more = false;
    for (std::size_t i = 0; i < pipe.more_flags.size(); ++i) more |= plan.is_held(pipe.object, first_more + i);
    if (!read && !written && !more) continue;
    const GroupBuilder::Place reader = plan.add_parked(pipe.object, 0), writer = plan.add_parked(pipe.object, 1);
    const std::int32_t fd = read ? reader.fd : writer.fd;
    if (pipe.capacity > max_bytes) {
      return Error::plain(ErrorKind::Failed,
                          "a pipe of the application holds " + std::to_string(pipe.capacity) +
                              " bytes, and this host allows " + std::to_string(max_bytes),
                          "raise /proc/sys/fs/pipe-max-size")
          .with_fd(fd);
    }
    wire::FdDetail detail{};
    detail.ends = (read ? 0 : wire::kEndClosed) | (written ? 0 : wire::kPeerClosed) |
                  (pipe.never_written ? wire::kNeverWritten : 0);
    detail.messages = plan_packets(pipe, plan);
    const std::uint64_t value = plan.add_bytes({reinterpret_cast<const std::uint8_t*>(&detail), sizeof detail});
    const std::uint64_t data = plan.add_bytes(pipe.data);
    const std::uint64_t path = pipe.fifo_path.empty() ? 0 : plan.add_string(pipe.fifo_path);
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Pipe, reader.slot, fd);
    entry.peer_slot = writer.slot;
    entry.value = value;
    entry.path = path;
    entry.flags = pipe.read_flags;
    entry.peer_flags = pipe.write_flags;
    entry.capacity = pipe.capacity;
    if (pipe.packets.empty()) {
      entry.data = data;
      entry.data_bytes = pipe.data.size();
    }
    for (std::size_t i = 0; i < pipe.more_flags.size(); ++i) {
      const auto end = static_cast<std::uint32_t>(first_more + i);
      const GroupBuilder::Place place = plan.add_slot(pipe.object, end);
      if (place.fd < 0) continue;
      wire::FdEntry& again = plan.add_fd(wire::FdKind::Reopen, place.slot, place.fd);
      again.peer_slot = reader.slot;
      again.flags = pipe.more_flags[i];
    }
  }
  return {};
}

}  // namespace stasis::restore
