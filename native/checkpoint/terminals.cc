// Pseudoterminals whose both ends the application has. The master tells the number of its terminal, and is asked for the settings of
// both; a terminal whose master is outside is the application's stdio, or cannot be saved.
//
// Bytes on the way in either direction could only be taken out, and not be put back unseen: the program is given the time to read them.
#include <asm/termbits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "checkpoint/fds.h"

namespace stasis::checkpoint {

namespace {

constexpr unsigned kFirstSlaveMajor = 136, kLastSlaveMajor = 143;  // Documentation/admin-guide/devices.txt
constexpr unsigned long kGetSettings = 0x802c542a;                 // TCGETS2
constexpr unsigned long kGetLocked = 0x80045439;                   // TIOCGPTLCK
constexpr unsigned long kGetPacket = 0x80045438;                   // TIOCGPKT
constexpr unsigned long kGetNumber = 0x80045430;                   // TIOCGPTN
constexpr unsigned long kBytesIn = 0x541b;                         // FIONREAD

unsigned major_of(const Fd& fd) { return static_cast<unsigned>(fd.device_number >> 8 & 0xfff); }
unsigned minor_of(const Fd& fd) {
  return static_cast<unsigned>((fd.device_number & 0xff) | (fd.device_number >> 12 & 0xfff00));
}

bool is_master(const Fd& fd) { return fd.type() == S_IFCHR && major_of(fd) == 5 && minor_of(fd) == 2; }
bool is_slave(const Fd& fd) {
  return fd.type() == S_IFCHR && major_of(fd) >= kFirstSlaveMajor && major_of(fd) <= kLastSlaveMajor;
}
unsigned index_of(const Fd& slave) { return (major_of(slave) - kFirstSlaveMajor) * 256 + minor_of(slave); }

void refuse_bytes(const Fd& fd, int terminal, Findings& findings) {
  int waiting = 0;
  if (::ioctl(terminal, kBytesIn, &waiting) == 0 && waiting > 0) {
    findings.add_passing(fd.where(), std::to_string(waiting) + " bytes on the way through a pseudoterminal",
                         "let the program read them");
  }
}

Status save_master(Description& description, Objects& objects, image::Image& image, Findings& findings) {
  const Fd& fd = description.first();
  const auto copy = STASIS_TRY(fd.duplicate());
  image::Terminal record;
  unsigned index = 0;
  if (::ioctl(copy.get(), kGetNumber, &index) != 0) {
    return Error::of_errno("ioctl", "reading a pseudoterminal").with_pid(fd.owner->pid).with_fd(fd.number);
  }
  record.object = record.master = objects.next();
  record.flags = fd.flags;
  record.index = index;
  record.settings.resize(sizeof(struct termios2));
  int locked = 0, packet = 0;
  ::ioctl(copy.get(), kGetSettings, record.settings.data());
  ::ioctl(copy.get(), TIOCGWINSZ, record.size.data());
  ::ioctl(copy.get(), kGetLocked, &locked);
  ::ioctl(copy.get(), kGetPacket, &packet);
  record.locked = locked != 0;
  record.packet = packet != 0;
  refuse_bytes(fd, copy.get(), findings);
  description.saved = true;
  description.becomes(record.object);
  image.terminals.push_back(std::move(record));
  return {};
}

Status save_slave(Description& description, Objects& objects, image::Image& image, Findings& findings) {
  const Fd& fd = description.first();
  const auto master =
      std::find_if(image.terminals.begin(), image.terminals.end(), [&](const image::Terminal& candidate) {
        return candidate.object == candidate.master && candidate.index == index_of(fd);
      });
  description.saved = true;
  if (master == image.terminals.end()) {
    findings.add(fd.where(),
                 "a terminal, " + fd.link + ", that is neither the application's stdio nor has its other end in it",
                 "start what holds its other end with the application, or close it");
    return {};
  }
  const auto copy = STASIS_TRY(fd.duplicate());
  refuse_bytes(fd, copy.get(), findings);
  image::Terminal record = *master;
  record.object = objects.next();
  record.flags = fd.flags;
  description.becomes(record.object);
  image.terminals.push_back(std::move(record));
  return {};
}

}  // namespace

Status save_terminals(Objects& objects, image::Image& image, Findings& findings) {
  for (Description& description : objects.descriptions) {
    if (!description.saved && is_master(description.first()))
      STASIS_TRY(save_master(description, objects, image, findings));
  }
  for (Description& description : objects.descriptions) {
    if (!description.saved && is_slave(description.first()))
      STASIS_TRY(save_slave(description, objects, image, findings));
  }
  return {};
}

void record_controlling_terminals(Members members, image::Image& image) {
  constexpr std::size_t kSession = 6, kTerminal = 7, kForeground = 8;  // fields of /proc/PID/stat
  auto section = image.processes.begin();
  for (const Subject* member : members) {
    image::Process& process = (section++)->process;
    const auto stat = procfs::read_stat(member->pid);
    if (!stat.ok() || static_cast<pid_t>(stat.value().field[kSession]) != member->pid ||
        stat.value().field[kTerminal] == 0)
      continue;
    Fd terminal;
    terminal.device_number = stat.value().field[kTerminal];
    for (const image::Terminal& candidate : image.terminals) {
      if (candidate.object == candidate.master || candidate.index != index_of(terminal)) continue;
      process.terminal = candidate.object;
      const auto foreground = static_cast<std::int32_t>(stat.value().field[kForeground]);
      process.foreground_group = foreground;
      if (member->ids.has_value() && foreground > 0) {
        const auto known = member->ids->virtual_group(static_cast<std::uint32_t>(foreground));
        process.foreground_group = known.ok() ? static_cast<std::int32_t>(known.value()) : 0;
      }
      break;
    }
  }
}

}  // namespace stasis::checkpoint
