// inotify instances: watches with their numbers and masks from fdinfo, which tells the inode that is watched; by what path, the runtime has
// noted (runtime/watches.h). Events that wait can neither be read without taking them nor be put back: they are waited for.
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <map>

#include "checkpoint/fds.h"
#include "os/process_memory.h"
#include "wire/notes.h"

namespace stasis::checkpoint {

namespace {

// Paths by device and inode, of all that the members' runtimes have noted.
using Places = std::map<std::pair<std::uint64_t, std::uint64_t>, std::string>;

Status read_places(const Subject& subject, Places& places) {
  if (subject.runtime.state == 0) return {};
  const auto memory = STASIS_TRY(ProcessMemory::open(subject.pid));
  const auto used =
      STASIS_TRY(memory.read_value<std::uint64_t>(subject.runtime.state + offsetof(wire::RuntimeState, notes_used)));
  std::vector<std::uint8_t> bytes(std::min<std::uint64_t>(used, wire::kNotesMaxBytes));
  if (bytes.empty()) return {};
  STASIS_TRY(memory.read(wire::kNotesBase, bytes));
  for (std::size_t at = 0; at + sizeof(wire::Note) <= bytes.size();) {
    wire::Note note;
    std::memcpy(&note, bytes.data() + at, sizeof note);
    if (note.bytes < sizeof note || note.bytes > bytes.size() - at) break;
    if (note.kind == wire::NoteKind::Watch) {
      const std::string padded(bytes.begin() + static_cast<std::ptrdiff_t>(at + sizeof note),
                               bytes.begin() + static_cast<std::ptrdiff_t>(at + note.bytes));
      const std::string path = padded.c_str();
      struct stat status;
      if (::stat(path.c_str(), &status) == 0) places.emplace(std::pair(status.st_dev, status.st_ino), path);
      if (::lstat(path.c_str(), &status) == 0) places.emplace(std::pair(status.st_dev, status.st_ino), path);
    }
    at += note.bytes;
  }
  return {};
}

// The kernel's own form of a device number has 20 bits of minor.
std::uint64_t device_of(unsigned kernel) { return makedev(kernel >> 20, kernel & 0xfffff); }

const std::string* find_place(const Places& places, std::uint64_t device, std::uint64_t inode) {
  const auto found = places.find({device, inode});
  if (found != places.end()) return &found->second;
  // Some file systems show another device to stat(2) than they have.
  for (const auto& [where, path] : places) {
    if (where.second == inode) return &path;
  }
  return nullptr;
}

Status save_watches(const Fd& fd, const Places& places, image::Inotify& record, Findings& findings) {
  const std::string& text = fd.info.text();
  for (std::size_t at = text.find("inotify wd:"); at != std::string::npos; at = text.find("inotify wd:", at + 1)) {
    unsigned number = 0, device = 0, mask = 0;
    unsigned long inode = 0;
    if (std::sscanf(text.c_str() + at, "inotify wd:%x ino:%lx sdev:%x mask:%x", &number, &inode, &device, &mask) != 4)
      return Error::plain(ErrorKind::Failed, "understanding what an inotify instance watches").with_fd(fd.number);
    const std::string* path = find_place(places, device_of(device), inode);
    if (path == nullptr) {
      findings.add(fd.where(),
                   "an inotify watch on inode " + std::to_string(inode) + ", whose path is not known any more",
                   "remove watches of files that were renamed, and add them after an exec");
      continue;
    }
    record.watches.push_back({static_cast<std::int32_t>(number), *path, mask});
  }
  std::sort(record.watches.begin(), record.watches.end(),
            [](const image::Watch& a, const image::Watch& b) { return a.number < b.number; });
  return {};
}

}  // namespace

Status save_inotifies(Objects& objects, image::Image& image, Findings& findings) {
  Places places;
  bool read = false;
  for (Description& description : objects.descriptions) {
    const Fd& fd = description.first();
    if (description.saved || !fd.link_starts("anon_inode:inotify")) continue;
    description.saved = true;
    for (const Subject* member : objects.members()) {
      if (!read) STASIS_TRY(read_places(*member, places));
    }
    read = true;
    image::Inotify record;
    record.object = objects.next();
    record.flags = fd.flags;
    STASIS_TRY(save_watches(fd, places, record, findings));
    auto duplicate = fd.duplicate();
    if (!duplicate.ok() && objects.phase() == Phase::Before) continue;
    const UniqueFd own = STASIS_TRY(std::move(duplicate));
    int waiting = 0;
    if (::ioctl(own.get(), FIONREAD, &waiting) == 0 && waiting > 0) {
      findings.add_passing(fd.where(), "an inotify instance with events that the program has not read yet",
                           "let the program read them before the checkpoint");
    }
    description.becomes(record.object);
    image.inotifies.push_back(std::move(record));
  }
  return {};
}

}  // namespace stasis::checkpoint
