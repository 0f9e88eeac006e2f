// The application's own stdin, stdout and stderr: replaced at a restore by the restorer's.
//
// The keeper recorded which files they were at the launch. A terminal, pipe or socket of that identity is the stream
// whatever its number; a file or device only when one of its numbers is 0, 1 or 2, since a program may well open
// /dev/null or its log itself. Without a record, numbers 0 to 2 on a terminal, or on a pipe or socket whose other end
// is outside, are taken for it.
#include <asm/termbits.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "checkpoint/fds.h"

namespace stasis::checkpoint {

namespace {

constexpr std::uint32_t kTypeMask = S_IFMT;
constexpr unsigned long kGetSettings = 0x802c542a;  // TCGETS2
constexpr unsigned kTtyMajors[] = {4,   5,   136, 137, 138,
                                   139, 140, 141, 142, 143};  // Documentation/admin-guide/devices.txt

bool is_terminal(const Fd& fd) {
  if (fd.type() != S_IFCHR) return false;
  const unsigned major = static_cast<unsigned>(fd.device_number >> 8 & 0xfff);
  return std::find(std::begin(kTtyMajors), std::end(kTtyMajors), major) != std::end(kTtyMajors);
}

bool is_stream_number(int number) { return number >= 0 && number <= 2; }

bool matches(const Fd& fd, const StdioIdentity& identity) {
  return identity.known() && identity.device == fd.device && identity.inode == fd.inode &&
         (identity.type & kTypeMask) == fd.type();
}

class StdioFinder {
 public:
  explicit StdioFinder(const Objects& objects) : identities_(objects.options().stdio), objects_(objects) {
    known_ = std::any_of(identities_.begin(), identities_.end(), [](const StdioIdentity& i) { return i.known(); });
  }

  bool is_stdio(const Description& description) const {
    const Fd& fd = description.first();
    const bool low = std::any_of(description.fds.begin(), description.fds.end(),
                                 [](const Fd& f) { return is_stream_number(f.number); });
    const bool channel = is_terminal(fd) || fd.type() == S_IFIFO || fd.type() == S_IFSOCK;
    if (known_) {
      const bool match =
          std::any_of(identities_.begin(), identities_.end(), [&](const StdioIdentity& i) { return matches(fd, i); });
      return match && (channel || low);
    }
    if (!low) return false;
    if (is_terminal(fd)) return true;
    return (fd.link_starts("pipe:[") || fd.link_starts("socket:[")) && objects_.shared_outside(fd.link);
  }

  // Numbers 0 to 2 stand for their own stream even if they are one description (a terminal's three), since the
  // restorer's need not be.
  std::uint32_t stream_of(const Description& description, const Fd& fd) const {
    if (is_stream_number(fd.number)) return static_cast<std::uint32_t>(fd.number);
    if (fd.access() == O_RDONLY) return 0;
    const bool has_error =
        std::any_of(description.fds.begin(), description.fds.end(), [](const Fd& f) { return f.number == 2; });
    const bool has_output =
        std::any_of(description.fds.begin(), description.fds.end(), [](const Fd& f) { return f.number == 1; });
    if (has_error && !has_output) return 2;
    if (has_output) return 1;
    for (const std::uint32_t stream : {1u, 2u, 0u}) {
      if (matches(fd, identities_[stream])) return stream;
    }
    return 1;
  }

 private:
  const std::array<StdioIdentity, 3>& identities_;
  const Objects& objects_;
  bool known_ = false;
};

// Empty for what is no terminal, or one that is hung up.
std::vector<std::uint8_t> settings_of(const Fd& fd) {
  if (!is_terminal(fd)) return {};
  const auto copy = fd.duplicate();
  std::vector<std::uint8_t> settings(sizeof(struct termios2));
  if (!copy.ok() || ::ioctl(copy.value().get(), kGetSettings, settings.data()) != 0) return {};
  return settings;
}

// As the program knows it; 0 where it is the first process's, whose group the restorer's own replaces, or nobody's.
std::int32_t foreground_group(const Subject& first) {
  constexpr std::size_t kGroup = 5, kForeground = 8;  // fields of /proc/PID/stat
  const auto stat = procfs::read_stat(first.pid);
  if (!stat.ok()) return 0;
  const auto group = static_cast<std::int32_t>(stat.value().field[kForeground]);
  if (group <= 0 || group == static_cast<std::int32_t>(stat.value().field[kGroup])) return 0;
  if (!first.ids.has_value()) return group;
  const auto known = first.ids->virtual_group(static_cast<std::uint32_t>(group));
  return known.ok() ? static_cast<std::int32_t>(known.value()) : 0;
}

}  // namespace

Status save_stdio(Objects& objects, image::Image& image, Findings&) {
  const StdioFinder finder(objects);
  std::map<std::uint32_t, std::uint32_t> streams;                // the object that each is
  std::map<std::uint32_t, std::vector<std::uint8_t>> terminals;  // settings of those that are terminals
  for (Description& description : objects.descriptions) {
    if (!finder.is_stdio(description)) continue;
    description.saved = true;
    const auto settings = settings_of(description.first());
    for (Fd& fd : description.fds) {
      const auto [stream, added] = streams.try_emplace(finder.stream_of(description, fd), 0);
      if (added) stream->second = objects.next();
      if (added && !settings.empty()) terminals[stream->first] = settings;
      fd.object = stream->second;
    }
  }
  for (const auto& [stream, object] : streams) {
    image::Stdio record;
    record.stream = stream;
    record.object = object;
    if (const auto found = terminals.find(stream); found != terminals.end()) {
      record.settings = found->second;
      record.foreground_group = foreground_group(objects.first_member());
    }
    image.stdio.push_back(std::move(record));
  }
  return {};
}

}  // namespace stasis::checkpoint
