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

}  // namespace

Status plan_pipes(const image::Image& image, GroupBuilder& plan) {
  const std::uint64_t max_bytes = image.pipes.empty() ? 0 : pipe_max_bytes();
  for (const image::Pipe& pipe : image.pipes) {
    const GroupBuilder::Place reader = plan.add_slot(pipe.object, 0), writer = plan.add_slot(pipe.object, 1);
    const std::int32_t fd = reader.fd < 0 ? writer.fd : reader.fd;
    if (fd < 0) continue;
    if (pipe.capacity > max_bytes) {
      return Error::plain(ErrorKind::Failed,
                          "a pipe of the application holds " + std::to_string(pipe.capacity) +
                              " bytes, and this host allows " + std::to_string(max_bytes),
                          "raise /proc/sys/fs/pipe-max-size")
          .with_fd(fd);
    }
    const std::uint64_t data = plan.add_bytes(pipe.data);
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Pipe, reader.slot, fd);
    entry.peer_slot = writer.slot;
    entry.flags = pipe.read_flags;
    entry.peer_flags = pipe.write_flags;
    entry.capacity = pipe.capacity;
    entry.data = data;
    entry.data_bytes = pipe.data.size();
  }
  return {};
}

}  // namespace stasis::restore
