// Objects that processes share, and the numbers that stand for them.
#include <algorithm>
#include <cstring>
#include <set>
#include <tuple>

#include "image/validate.h"
#include "wire/ids.h"

namespace stasis::image {

namespace {

constexpr std::size_t kSettingsBytes = 44;  // struct termios2

constexpr std::int32_t kMaxFd = 1 << 20;  // fs.nr_open's default, the hard limit of RLIMIT_NOFILE on most systems
constexpr std::uint32_t kRegular = 0100000, kDirectory = 0040000, kCharacterDevice = 0020000;
constexpr std::uint32_t kPlace = 010000000;  // O_PATH
constexpr std::uint32_t kStream = 1, kDatagram = 2, kSequentialPacket = 5;
constexpr std::uint32_t kUnix = 1, kInet = 2, kInet6 = 10;
constexpr std::uint32_t kMaxPipeBytes = 1u << 31;
constexpr std::uint64_t kMaxFileBytes = 0x7fff'ffff'ffff'f000;     // of off_t, page-aligned
constexpr std::uint64_t kMaxEventfdCount = 0xffff'ffff'ffff'fffe;  // eventfd(2)
constexpr std::uint32_t kAllSocketOptions = 127;
constexpr std::uint32_t kAllTcpOptions = 7;    // TCPI_OPT_TIMESTAMPS, _SACK, _WSCALE
constexpr std::uint32_t kMaxWindowScale = 14;  // RFC 7323
constexpr std::size_t kMaxAddressBytes = 112;  // of wire::FdEntry::address; sockaddr_un, the longest, has 110

constexpr std::uint32_t kMaxPacketBytes = 4096;    // of a pipe in packet mode (pipe(2))
constexpr std::size_t kMaxDescriptions = 1 << 20;  // of one pipe
constexpr std::int32_t kMaxWatch = 1 << 20;        // each number up to it may cost a call at the restore
constexpr std::size_t kMaxOptionBytes = 256;
constexpr std::size_t kMaxRights = 253;  // SCM_MAX_FD

using Use = ObjectUse;

Status check_locks(const std::vector<FileLock>& locks, const std::string& subject) {
  for (const FileLock& lock : locks) {
    if (lock.kind < LockKind::Process || lock.kind > LockKind::Description || lock.type > 1)
      return invalid(subject, "no such lock");
    if (lock.start < 0 || lock.length < 0) return invalid(subject, "a lock of a negative range");
  }
  return {};
}

// No name at all is one.
Status check_name(const std::vector<std::uint8_t>& name, std::uint32_t wanted, const std::string& subject) {
  std::uint16_t family = 0;
  if (name.empty()) return {};
  if (name.size() < sizeof family || name.size() > kMaxAddressBytes) return invalid(subject, "no socket address");
  std::memcpy(&family, name.data(), sizeof family);
  if (family != wanted) return invalid(subject, "an address of another family");
  return {};
}

Status check_options(const std::vector<SocketOption>& options, const std::string& subject) {
  for (const SocketOption& option : options) {
    if (option.value.size() > kMaxOptionBytes) return invalid(subject, "an option of an impossible size");
  }
  return {};
}

Status check_messages(const std::vector<Message>& messages, std::uint32_t family, const std::string& subject) {
  for (const Message& message : messages) {
    STASIS_TRY(check_name(message.from, family, subject));
    if (message.rights.size() > kMaxRights)
      return invalid(subject, "a message with more descriptors than one can have");
  }
  return {};
}

Result<Use> check_record(const Image& image, const SharedMemory& memory, const std::string& subject) {
  if (memory.kind < SharedMemoryKind::Anonymous || memory.kind > SharedMemoryKind::DeletedFile)
    return invalid(subject, "no such kind of shared memory");
  if (memory.kind >= SharedMemoryKind::File && !is_absolute_path(memory.name))
    return invalid(subject, "no absolute path");
  if (memory.name.size() > 4096 || memory.name.find('\0') != std::string::npos)
    return invalid(subject, "no possible name");
  if (memory.mode > 07777) return invalid(subject, "no such mode");
  if (memory.bytes > kMaxFileBytes) return invalid(subject, "no memory is that large");
  const std::uint64_t whole = (memory.bytes + wire::kPageBytes - 1) & ~(wire::kPageBytes - 1);
  STASIS_TRY(check_runs(image, memory.runs, 0, whole, subject));
  return Use{.ends = 1, .is_memory = true, .has_numbers = false};
}

Result<Use> check_record(const Image& image, const OpenFile& file, const std::string& subject) {
  if (!is_absolute_path(file.path)) return invalid(subject, "no absolute path");
  if (file.position < -1) return invalid(subject, "a negative position");
  if (file.flock > 2) return invalid(subject, "no such flock");
  if (file.mode > 07777) return invalid(subject, "no such mode");
  if (file.signal < 0 || file.signal > 64) return invalid(subject, "no such signal");
  STASIS_TRY(check_locks(file.locks, subject));
  if ((file.flags & kPlace) == 0 && file.file_type != kRegular && file.file_type != kDirectory &&
      file.file_type != kCharacterDevice) {
    return invalid(subject, "a type of file that is never saved");
  }
  const bool known = std::any_of(image.shared_memory.begin(), image.shared_memory.end(),
                                 [&](const SharedMemory& memory) { return memory.object == file.memory; });
  if (file.memory != 0 && !known) return invalid(subject, "there is no such shared memory");
  return Use{};
}

Result<Use> check_record(const Image&, const Stdio& stdio, const std::string& subject) {
  if (stdio.stream > 2) return invalid(subject, "no such stream");
  if (!stdio.settings.empty() && stdio.settings.size() != kSettingsBytes)
    return invalid(subject, "the settings are not those of a terminal");
  return Use{};
}

Result<Use> check_record(const Image&, const Pipe& pipe, const std::string& subject) {
  if (pipe.capacity > kMaxPipeBytes) return invalid(subject, "no pipe is that large");
  if (pipe.data.size() > pipe.capacity) return invalid(subject, "more bytes in flight than it holds");
  std::uint64_t divided = 0;
  for (const PipePacket& packet : pipe.packets) {
    if (packet.bytes == 0 || (packet.packet && packet.bytes > kMaxPacketBytes))
      return invalid(subject, "a packet of an impossible size");
    divided += packet.bytes;
  }
  if (!pipe.packets.empty() && divided != pipe.data.size()) return invalid(subject, "packets that are not its bytes");
  if (!pipe.fifo_path.empty() && !is_absolute_path(pipe.fifo_path)) return invalid(subject, "no absolute path");
  if (pipe.more_flags.size() > kMaxDescriptions) return invalid(subject, "too many descriptions");
  return Use{.ends = 2 + static_cast<std::uint32_t>(pipe.more_flags.size())};
}

Result<Use> check_record(const Image&, const SocketPair& pair, const std::string& subject) {
  if (pair.socket_type != kStream && pair.socket_type != kDatagram && pair.socket_type != kSequentialPacket) {
    return invalid(subject, "no such type of socket");
  }
  STASIS_TRY(check_name(pair.first_name, kUnix, subject));
  STASIS_TRY(check_name(pair.second_name, kUnix, subject));
  STASIS_TRY(check_options(pair.first_options, subject));
  STASIS_TRY(check_options(pair.second_options, subject));
  STASIS_TRY(check_messages(pair.messages_to_first, kUnix, subject));
  STASIS_TRY(check_messages(pair.messages_to_second, kUnix, subject));
  if (pair.first_shutdown > 3 || pair.second_shutdown > 3) return invalid(subject, "undefined ways of being shut down");
  if (!pair.directory.empty() && !is_absolute_path(pair.directory)) return invalid(subject, "no absolute path");
  if (pair.socket_type != kStream && (!pair.to_first.empty() || !pair.to_second.empty())) {
    return invalid(subject, "queued bytes without the bounds of their messages");
  }
  return Use{.ends = 2};
}

Result<Use> check_record(const Image&, const Eventfd& eventfd, const std::string& subject) {
  if (eventfd.count > kMaxEventfdCount) return invalid(subject, "the counter is too large");
  return Use{};
}

Result<Use> check_record(const Image&, const Signalfd&, const std::string&) { return Use{}; }

Result<Use> check_record(const Image&, const Pidfd& pidfd, const std::string& subject) {
  if (pidfd.pid < 0 || pidfd.pid >= static_cast<std::int32_t>(wire::kPidLimit))
    return invalid(subject, "no process id");
  return Use{};
}

Result<Use> check_record(const Image& image, const Terminal& terminal, const std::string& subject) {
  const auto master = std::find_if(image.terminals.begin(), image.terminals.end(), [&](const Terminal& candidate) {
    return candidate.object == terminal.master && candidate.object == candidate.master;
  });
  if (master == image.terminals.end()) return invalid(subject, "there is no such master");
  if (terminal.settings.size() != kSettingsBytes) return invalid(subject, "settings of another length");
  return Use{};
}

Result<Use> check_record(const Image&, const PosixQueue& queue, const std::string& subject) {
  constexpr std::uint64_t kMostMessages = 65536,
                          kMostBytes = 16 << 20;  // HARD_MSGMAX, HARD_MSGSIZEMAX (linux/ipc_namespace.h)
  if (queue.name.size() < 2 || queue.name.size() > 256 || queue.name[0] != '/' ||
      queue.name.find_first_of(std::string("/\0", 2), 1) != std::string::npos)
    return invalid(subject, "no possible name");
  if (queue.most_messages == 0 || queue.most_messages > kMostMessages || queue.message_bytes == 0 ||
      queue.message_bytes > kMostBytes || queue.messages.size() > queue.most_messages)
    return invalid(subject, "no queue is that large");
  for (const IpcMessage& message : queue.messages) {
    if (message.text.size() > queue.message_bytes || message.type < 0 || message.type > 32767)
      return invalid(subject, "a message that it cannot hold");
  }
  return Use{};
}

Result<Use> check_record(const Image&, const Timerfd& timerfd, const std::string& subject) {
  // timerfd_create(2): CLOCK_REALTIME 0, _MONOTONIC 1, _BOOTTIME 7, _REALTIME_ALARM 8, _BOOTTIME_ALARM 9.
  if (timerfd.clock_id > 1 && (timerfd.clock_id < 7 || timerfd.clock_id > 9))
    return invalid(subject, "no such clock for a timer");
  if (timerfd.settime_flags > 3) return invalid(subject, "undefined flags");
  if (timerfd.interval_ns < 0 || timerfd.remaining_ns < 0) return invalid(subject, "a negative time");
  return Use{};
}

Result<Use> check_record(const Image&, const Inotify& inotify, const std::string& subject) {
  std::int32_t before = 0;
  for (const Watch& watch : inotify.watches) {
    if (watch.number <= before || watch.number > kMaxWatch)
      return invalid(subject, "watches that are not in their order");
    if (!is_absolute_path(watch.path)) return invalid(subject, "no absolute path");
    before = watch.number;
  }
  return Use{};
}

Result<Use> check_record(const Image&, const Epoll&, const std::string&) { return Use{}; }

Result<Use> check_record(const Image&, const ListeningSocket& socket, const std::string& subject) {
  if (socket.family != kUnix && socket.family != kInet && socket.family != kInet6)
    return invalid(subject, "no such address family");
  if (socket.socket_type != kStream && socket.socket_type != kSequentialPacket)
    return invalid(subject, "no such type of socket");
  if (socket.options > kAllSocketOptions) return invalid(subject, "undefined options");
  STASIS_TRY(check_options(socket.socket_options, subject));
  if (!socket.directory.empty() && !is_absolute_path(socket.directory)) return invalid(subject, "no absolute path");
  if (socket.backlog > 0x7fff'ffff) return invalid(subject, "a negative backlog");
  if (socket.address.empty()) return invalid(subject, "no socket address");
  STASIS_TRY(check_name(socket.address, socket.family, subject));
  return Use{};
}

Result<Use> check_record(const Image&, const TcpConnection& connection, const std::string& subject) {
  // An IPv4 connection may have an end that is an IPv6 socket.
  for (const auto* name : {&connection.first_name, &connection.second_name}) {
    const bool inet6 = name->size() > 1 && (*name)[0] == kInet6 && (*name)[1] == 0;
    STASIS_TRY(check_name(*name, inet6 ? kInet6 : kInet, subject));
  }
  if (connection.first_name.empty() != connection.second_name.empty())
    return invalid(subject, "one end with an address and one without");
  if (connection.first_name.empty() && connection.family != kInet && connection.family != kInet6)
    return invalid(subject, "no such address family");
  STASIS_TRY(check_options(connection.first_options, subject));
  STASIS_TRY(check_options(connection.second_options, subject));
  if (connection.first_shutdown > 3 || connection.second_shutdown > 3)
    return invalid(subject, "undefined ways of being shut down");
  if (connection.kept.size() > 1) return invalid(subject, "kept twice");
  for (const KeptConnection& kept : connection.kept) {
    if (connection.first_name.empty() || connection.second_reset) return invalid(subject, "kept, and without a peer");
    if (connection.first_name[0] != connection.second_name[0]) return invalid(subject, "ends of two address families");
    if (kept.unsent > connection.to_second.size()) return invalid(subject, "more to be sent than there is");
    if (kept.options > kAllTcpOptions || kept.send_scale > kMaxWindowScale || kept.receive_scale > kMaxWindowScale)
      return invalid(subject, "options that TCP does not have");
  }
  return Use{.ends = 2};
}

Result<Use> check_record(const Image&, const Socket& socket, const std::string& subject) {
  if (socket.family != kUnix && socket.family != kInet && socket.family != kInet6)
    return invalid(subject, "no such address family");
  if (socket.socket_type != kStream && socket.socket_type != kDatagram && socket.socket_type != kSequentialPacket)
    return invalid(subject, "no such type of socket");
  STASIS_TRY(check_name(socket.name, socket.family, subject));
  STASIS_TRY(check_name(socket.peer_name, socket.family, subject));
  STASIS_TRY(check_options(socket.options, subject));
  STASIS_TRY(check_messages(socket.messages, socket.family, subject));
  if (socket.shutdown > 3) return invalid(subject, "undefined ways of being shut down");
  if (!socket.directory.empty() && !is_absolute_path(socket.directory)) return invalid(subject, "no absolute path");
  return Use{};
}

template <class Record>
Status check_all(const Image& image, const std::vector<Record>& records, Objects& objects) {
  for (std::size_t i = 0; i < records.size(); ++i) {
    const std::string subject = nth(Record::kName, i);
    const ObjectUse use = STASIS_TRY(check_record(image, records[i], subject));
    if (records[i].object == 0) return invalid(subject, "an object without a number");
    if (!objects.emplace(records[i].object, use).second) return invalid(subject, "the number of an earlier object");
  }
  return {};
}

bool exists(const Objects& objects, std::uint32_t object, std::uint32_t end) {
  const auto found = objects.find(object);
  return found != objects.end() && found->second.has_numbers && end < found->second.ends;
}

// What epoll instances watch must be there to be watched.
Status check_targets(const Epoll& epoll, const Objects& objects, const std::string& subject) {
  std::set<std::tuple<std::int32_t, std::uint32_t, std::uint32_t>> seen;
  for (const EpollTarget& target : epoll.targets) {
    const std::string fd = "fd " + std::to_string(target.fd);
    if (target.fd < 0 || target.fd >= kMaxFd) return invalid(subject, "watches " + fd + ", which cannot be");
    if (!exists(objects, target.object, target.end)) return invalid(subject, "watches " + fd + ", which no record has");
    if (target.object == epoll.object || !seen.emplace(target.fd, target.object, target.end).second)
      return invalid(subject, "watches " + fd + " twice, or itself");
  }
  return {};
}

// What travels must be there, and what is said to have sent a message.
Status check_references(const std::vector<Message>& messages, const Objects& objects, const std::string& subject) {
  for (const Message& message : messages) {
    if (message.sender != 0 && !exists(objects, message.sender, 0))
      return invalid(subject, "a sender that no record has");
    for (const Right& right : message.rights) {
      if (!exists(objects, right.object, right.end))
        return invalid(subject, "a descriptor in flight that stands for no object");
    }
  }
  return {};
}

}  // namespace

Result<Objects> validate_objects(const Image& image) {
  Objects objects;
  STASIS_TRY(check_all(image, image.shared_memory, objects));
  STASIS_TRY(check_all(image, image.open_files, objects));
  STASIS_TRY(check_all(image, image.stdio, objects));
  STASIS_TRY(check_all(image, image.pipes, objects));
  STASIS_TRY(check_all(image, image.socket_pairs, objects));
  STASIS_TRY(check_all(image, image.eventfds, objects));
  STASIS_TRY(check_all(image, image.timerfds, objects));
  STASIS_TRY(check_all(image, image.epolls, objects));
  STASIS_TRY(check_all(image, image.listening_sockets, objects));
  STASIS_TRY(check_all(image, image.tcp_connections, objects));
  STASIS_TRY(check_all(image, image.sockets, objects));
  STASIS_TRY(check_all(image, image.inotifies, objects));
  for (std::size_t i = 0; i < image.socket_pairs.size(); ++i) {
    STASIS_TRY(check_references(image.socket_pairs[i].messages_to_first, objects, nth(SocketPair::kName, i)));
    STASIS_TRY(check_references(image.socket_pairs[i].messages_to_second, objects, nth(SocketPair::kName, i)));
  }
  for (std::size_t i = 0; i < image.sockets.size(); ++i) {
    STASIS_TRY(check_references(image.sockets[i].messages, objects, nth(Socket::kName, i)));
  }
  STASIS_TRY(check_all(image, image.signalfds, objects));
  STASIS_TRY(check_all(image, image.pidfds, objects));
  STASIS_TRY(check_all(image, image.terminals, objects));
  STASIS_TRY(check_all(image, image.posix_queues, objects));
  for (std::size_t i = 0; i < image.epolls.size(); ++i) {
    STASIS_TRY(check_targets(image.epolls[i], objects, nth(Epoll::kName, i)));
  }
  return objects;
}

Status validate_descriptors(const Image& image, const Objects& objects) {
  for (const ProcessImage& section : image.processes) {
    const std::string subject = "descriptors of process " + std::to_string(section.process.pid);
    STASIS_TRY(check_locks(section.descriptors.locks, subject));
    std::set<std::int32_t> taken;
    for (const Descriptor& descriptor : section.descriptors.numbers) {
      const std::string fd = "fd " + std::to_string(descriptor.fd);
      if (descriptor.fd < 0 || descriptor.fd >= kMaxFd) return invalid(subject, "there is no " + fd);
      if (!taken.insert(descriptor.fd).second) return invalid(subject, fd + " stands there twice");
      if (!exists(objects, descriptor.object, descriptor.end)) return invalid(subject, fd + " stands for no object");
    }
  }
  return {};
}

}  // namespace stasis::image
