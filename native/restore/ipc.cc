// System V ipc and POSIX message queues.
#include <mqueue.h>
#include <sys/stat.h>

#include <algorithm>

#include "os/file_users.h"
#include "os/unique_fd.h"
#include "restore/builders.h"

namespace stasis::restore {

namespace {

template <class T>
std::uint64_t add_entries(GroupBuilder& plan, const std::vector<T>& entries) {
  return plan.add_bytes({reinterpret_cast<const std::uint8_t*>(entries.data()), entries.size() * sizeof(T)});
}

wire::IpcEntry entry_of(wire::IpcKind kind, const image::IpcObject& object, std::uint32_t mode) {
  return {.kind = kind,
          .mode = mode,
          .id = object.id,
          .key = object.key,
          .uid = object.uid,
          .gid = object.gid,
          .bytes = 0,
          .pieces = 0,
          .count = 0};
}

// msgsnd(2) takes the type in front of the text.
std::uint64_t add_messages(GroupBuilder& plan, const std::vector<image::IpcMessage>& messages, bool with_type) {
  std::vector<wire::IpcMessage> entries;
  for (const image::IpcMessage& message : messages) {
    const auto* type = reinterpret_cast<const std::uint8_t*>(&message.type);
    std::vector<std::uint8_t> bytes;
    if (with_type) bytes.assign(type, type + sizeof message.type);
    bytes.insert(bytes.end(), message.text.begin(), message.text.end());
    entries.push_back({.type = message.type, .text = plan.add_bytes(bytes), .bytes = message.text.size()});
  }
  return add_entries(plan, entries);
}

// An empty queue that nobody uses is as good as a new one.
Status check_name(const image::PosixQueue& queue) {
  constexpr const char* kDoing = "making a message queue, whose name is taken";
  const UniqueFd fd(::mq_open(queue.name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  mq_attr attributes{};
  struct stat status;
  if (fd.get() < 0 || ::mq_getattr(fd.get(), &attributes) != 0 || ::fstat(fd.get(), &status) != 0) return {};
  if (const FileUser user = find_file_user({{status.st_dev, status.st_ino}}, {}); user.pid != 0) {
    return Error::plain(ErrorKind::Failed, std::string(kDoing) + ": process " + std::to_string(user.pid) + " uses it",
                        "end that process first")
        .with_path(queue.name);
  }
  const bool same = attributes.mq_curmsgs == 0 && queue.messages.empty() &&
                    static_cast<std::uint64_t>(attributes.mq_maxmsg) == queue.most_messages &&
                    static_cast<std::uint64_t>(attributes.mq_msgsize) == queue.message_bytes;
  if (same) return {};
  return Error::plain(ErrorKind::Failed, std::string(kDoing) + ": the queue that is there may hold other messages",
                      "remove it (mq_unlink, or in /dev/mqueue)")
      .with_path(queue.name);
}

}  // namespace

Status plan_system_v(const image::Image& image, const RestoreInputs& inputs, GroupBuilder& plan) {
  for (const image::SharedMemory& memory : image.shared_memory) {
    if (memory.kind != image::SharedMemoryKind::SystemV) continue;
    wire::IpcEntry entry = entry_of(wire::IpcKind::Segment, memory.system, memory.mode);
    entry.bytes = memory.bytes;
    std::vector<wire::SegmentPiece> pieces;
    for (const image::PageRun& run : memory.runs) {
      const PageFileLocation& file = inputs.page_files[run.page_file];
      pieces.push_back({.offset = run.address,
                        .length = std::min(run.length, memory.bytes - run.address),
                        .file_offset = run.file_offset,
                        .file = plan.add_file(file.path, file.device, file.inode),
                        .reserved = 0});
    }
    entry.count = pieces.size();
    entry.pieces = add_entries(plan, pieces);
    plan.system_v.push_back(entry);
  }
  for (const image::Semaphores& set : image.semaphores) {
    wire::IpcEntry entry = entry_of(wire::IpcKind::Semaphores, set.system, set.mode);
    const std::vector<std::uint16_t> values(set.values.begin(), set.values.end());
    entry.count = values.size();
    entry.pieces = add_entries(plan, values);
    plan.system_v.push_back(entry);
  }
  for (const image::MessageQueue& queue : image.message_queues) {
    wire::IpcEntry entry = entry_of(wire::IpcKind::MessageQueue, queue.system, queue.mode);
    entry.bytes = queue.most_bytes;
    entry.count = queue.messages.size();
    entry.pieces = add_messages(plan, queue.messages, true);
    plan.system_v.push_back(entry);
  }
  return {};
}

Status plan_posix_queues(const image::Image& image, GroupBuilder& plan) {
  for (const image::PosixQueue& queue : image.posix_queues) {
    STASIS_TRY(check_name(queue));
    const GroupBuilder::Place place = plan.add_slot(queue.object);
    if (place.fd < 0) continue;
    const std::uint64_t name = plan.add_string(queue.name), messages = add_messages(plan, queue.messages, false);
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::PosixQueue, place.slot, place.fd);
    entry.path = name;
    entry.flags = queue.flags;
    entry.option = queue.mode | (queue.unlinked ? wire::kQueueUnlinked : 0);
    entry.value = queue.most_messages;
    entry.ticks = queue.message_bytes;
    entry.data = messages;
    entry.data_bytes = queue.messages.size();
  }
  return {};
}

void plan_own_ipc(const image::Image& image, const image::ProcessImage& section, PlanBuilder& plan) {
  for (const image::SemaphoreUndo& undo : section.semaphore_undo) {
    const bool there = std::any_of(image.semaphores.begin(), image.semaphores.end(), [&](const image::Semaphores& set) {
      return set.system.id == undo.id && undo.number < set.values.size();
    });
    if (there) plan.undo.push_back({.id = undo.id, .number = undo.number, .adjustment = undo.adjustment});
  }
  if (&section != &image.first()) return;
  for (const image::SharedMemory& memory : image.shared_memory) {
    if (memory.kind == image::SharedMemoryKind::SystemV && memory.removed)
      plan.removed_segments.push_back({memory.system.id});
  }
}

}  // namespace stasis::restore
