// Open file descriptions and the numbers that stand for them.
#include <cstring>
#include <set>

#include "image/validate.h"

namespace stasis::image {

namespace {

constexpr std::int32_t kMaxFd = 1 << 20;  // fs.nr_open's default, the hard limit of RLIMIT_NOFILE on most systems
constexpr std::uint32_t kRegular = 0100000, kDirectory = 0040000, kCharacterDevice = 0020000;
constexpr std::uint32_t kStream = 1, kDatagram = 2, kSequentialPacket = 5;
constexpr std::uint32_t kUnix = 1, kInet = 2, kInet6 = 10;
constexpr std::uint32_t kMaxPipeBytes = 1u << 31;
constexpr std::uint64_t kMaxEventfdCount = 0xffff'ffff'ffff'fffe;  // eventfd(2)
constexpr std::uint32_t kAllSocketOptions = 127;
constexpr std::size_t kMaxAddressBytes = 112;  // of wire::FdEntry::address; sockaddr_un, the longest, has 110

// Collects fd numbers and refuses one that stands for two descriptions.
class Numbers {
 public:
  Status take(const std::vector<FdNumber>& numbers, const std::string& subject) {
    for (const FdNumber& number : numbers) {
      if (number.fd < 0 || number.fd >= kMaxFd) return invalid(subject, "there is no fd " + std::to_string(number.fd));
      if (!taken_.insert(number.fd).second) {
        return invalid(subject, "fd " + std::to_string(number.fd) + " belongs to another record already");
      }
    }
    return {};
  }
  // As take, of a description that has at least one number.
  Status take_some(const std::vector<FdNumber>& numbers, const std::string& subject) {
    if (numbers.empty()) return invalid(subject, "no fd stands for it");
    return take(numbers, subject);
  }
  bool has(std::int32_t fd) const { return taken_.contains(fd); }

 private:
  std::set<std::int32_t> taken_;
};

Status check_record(const OpenFile& file, Numbers& numbers, const std::string& subject) {
  STASIS_TRY(numbers.take_some(file.numbers, subject));
  if (!is_absolute_path(file.path)) return invalid(subject, "no absolute path");
  if (file.position < -1) return invalid(subject, "a negative position");
  if (file.file_type != kRegular && file.file_type != kDirectory && file.file_type != kCharacterDevice) {
    return invalid(subject, "a type of file that is never saved");
  }
  return {};
}

Status check_record(const Stdio& stdio, Numbers& numbers, const std::string& subject) {
  STASIS_TRY(numbers.take_some(stdio.numbers, subject));
  if (stdio.stream > 2) return invalid(subject, "no such stream");
  return {};
}

Status check_record(const Pipe& pipe, Numbers& numbers, const std::string& subject) {
  if (pipe.readers.empty() && pipe.writers.empty()) return invalid(subject, "no fd stands for it");
  STASIS_TRY(numbers.take(pipe.readers, subject));
  STASIS_TRY(numbers.take(pipe.writers, subject));
  if (pipe.capacity > kMaxPipeBytes) return invalid(subject, "no pipe is that large");
  if (pipe.data.size() > pipe.capacity) return invalid(subject, "more bytes in flight than it holds");
  return {};
}

Status check_record(const SocketPair& pair, Numbers& numbers, const std::string& subject) {
  STASIS_TRY(numbers.take_some(pair.first, subject));
  STASIS_TRY(numbers.take(pair.second, subject));
  if (pair.socket_type != kStream && pair.socket_type != kDatagram && pair.socket_type != kSequentialPacket) {
    return invalid(subject, "no such type of socket");
  }
  if (pair.socket_type != kStream && (!pair.to_first.empty() || !pair.to_second.empty())) {
    return invalid(subject, "queued bytes without the bounds of their messages");
  }
  return {};
}

Status check_record(const Eventfd& eventfd, Numbers& numbers, const std::string& subject) {
  STASIS_TRY(numbers.take_some(eventfd.numbers, subject));
  if (eventfd.count > kMaxEventfdCount) return invalid(subject, "the counter is too large");
  return {};
}

Status check_record(const Timerfd& timerfd, Numbers& numbers, const std::string& subject) {
  STASIS_TRY(numbers.take_some(timerfd.numbers, subject));
  // timerfd_create(2): CLOCK_REALTIME 0, _MONOTONIC 1, _BOOTTIME 7, _REALTIME_ALARM 8, _BOOTTIME_ALARM 9.
  if (timerfd.clock_id > 1 && (timerfd.clock_id < 7 || timerfd.clock_id > 9))
    return invalid(subject, "no such clock for a timer");
  if (timerfd.settime_flags > 3) return invalid(subject, "undefined flags");
  if (timerfd.interval_ns < 0 || timerfd.remaining_ns < 0) return invalid(subject, "a negative time");
  return {};
}

Status check_record(const Epoll& epoll, Numbers& numbers, const std::string& subject) {
  return numbers.take_some(epoll.numbers, subject);
}

Status check_record(const ListeningSocket& socket, Numbers& numbers, const std::string& subject) {
  STASIS_TRY(numbers.take_some(socket.numbers, subject));
  if (socket.family != kUnix && socket.family != kInet && socket.family != kInet6)
    return invalid(subject, "no such address family");
  if (socket.socket_type != kStream && socket.socket_type != kSequentialPacket)
    return invalid(subject, "no such type of socket");
  if (socket.options > kAllSocketOptions) return invalid(subject, "undefined options");
  if (socket.backlog > 0x7fff'ffff) return invalid(subject, "a negative backlog");
  std::uint16_t family = 0;
  if (socket.address.size() < sizeof family || socket.address.size() > kMaxAddressBytes)
    return invalid(subject, "no socket address");
  std::memcpy(&family, socket.address.data(), sizeof family);
  if (family != socket.family) return invalid(subject, "an address of another family");
  return {};
}

template <class Record>
Status check_all(const std::vector<Record>& records, Numbers& numbers) {
  for (std::size_t i = 0; i < records.size(); ++i) STASIS_TRY(check_record(records[i], numbers, nth(Record::kName, i)));
  return {};
}

// After all numbers are known: what epoll instances watch must be there to be watched.
Status check_targets(const Epoll& epoll, const Numbers& numbers, const std::string& subject) {
  std::set<std::int32_t> seen;
  for (const FdNumber& own : epoll.numbers) seen.insert(own.fd);
  for (const EpollTarget& target : epoll.targets) {
    const std::string fd = "fd " + std::to_string(target.fd);
    if (!numbers.has(target.fd)) return invalid(subject, "watches " + fd + ", which no record has");
    if (!seen.insert(target.fd).second) return invalid(subject, "watches " + fd + " twice, or itself");
  }
  return {};
}

}  // namespace

Status validate_fds(const Image& image) {
  Numbers numbers;
  STASIS_TRY(check_all(image.open_files, numbers));
  STASIS_TRY(check_all(image.stdio, numbers));
  STASIS_TRY(check_all(image.pipes, numbers));
  STASIS_TRY(check_all(image.socket_pairs, numbers));
  STASIS_TRY(check_all(image.eventfds, numbers));
  STASIS_TRY(check_all(image.timerfds, numbers));
  STASIS_TRY(check_all(image.epolls, numbers));
  STASIS_TRY(check_all(image.listening_sockets, numbers));
  for (std::size_t i = 0; i < image.epolls.size(); ++i) {
    STASIS_TRY(check_targets(image.epolls[i], numbers, nth(Epoll::kName, i)));
  }
  return {};
}

}  // namespace stasis::image
