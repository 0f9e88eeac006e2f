// Regular files, directories and a few devices, which a restore opens again by path.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <algorithm>

#include "checkpoint/fds.h"
#include "checkpoint/shared_memory.h"

namespace stasis::checkpoint {

namespace {

constexpr unsigned kMemoryMajor = 1;                   // /dev/mem and its like
constexpr unsigned kMemoryMinors[] = {3, 5, 7, 8, 9};  // null, zero, full, random, urandom
constexpr long kOverlayMagic = 0x794c7630;

bool is_plain_device(const Fd& fd) {
  const unsigned minor_number = minor(fd.device_number);
  return major(fd.device_number) == kMemoryMajor &&
         std::find(std::begin(kMemoryMinors), std::end(kMemoryMinors), minor_number) != std::end(kMemoryMinors);
}

// A place in the file system, whatever is there: it cannot be read or written.
bool is_place(const Fd& fd) { return (fd.flags & O_PATH) != 0; }

// Whether the path still leads to the very file that is open. An overlay may show another inode once a file was copied
// up.
bool leads_to(const Fd& fd) {
  struct stat status;
  if (::fstatat(AT_FDCWD, fd.link.c_str(), &status, is_place(fd) ? AT_SYMLINK_NOFOLLOW : 0) != 0) return false;
  if (status.st_ino == fd.inode && status.st_dev == fd.device) return true;
  struct statfs system;
  return ::statfs(fd.link.c_str(), &system) == 0 && system.f_type == kOverlayMagic;
}

bool is_deleted_directory(const Fd& fd) {
  return fd.type() == S_IFDIR && fd.links == 0 && fd.link.ends_with(kDeleted) && !is_place(fd);
}

// True if the file can be opened again; else a finding says why not.
bool check_file(const Fd& fd, Findings& findings) {
  const std::string where = fd.where();
  const std::string own = "/proc/" + std::to_string(fd.owner->pid) + "/";
  if (fd.link.rfind(own, 0) == 0) {
    // The runtime has such files open for an instant: to look up a mapping, or before it rewrites a call site.
    findings.add_passing(where, "a file about the process itself, " + fd.link, "close it before the checkpoint");
    return false;
  }
  if (!leads_to(fd)) {
    const bool deleted = fd.links == 0;
    findings.add(where, (deleted ? "a deleted file, " : "a file that was moved or replaced, ") + fd.link,
                 deleted ? "close it before the checkpoint" : "put it back or close it before the checkpoint");
    return false;
  }
  return true;
}

}  // namespace

Status save_files(Objects& objects, image::Image& image, Findings& findings) {
  for (Description& description : objects.descriptions) {
    Fd fd = description.first();
    if (const std::string path = fd.type() == S_IFREG ? shared_file_path(fd.link, fd.device, fd.inode) : "";
        !path.empty())
      fd.link = path;
    if (description.saved || fd.link.empty() || fd.link[0] != '/' || fd.link_starts("/memfd:")) continue;
    description.saved = true;
    const std::string where = fd.where();
    switch (fd.type()) {
      case S_IFREG:
      case S_IFDIR:
        break;
      case S_IFCHR:
        if (is_plain_device(fd) || is_place(fd)) break;
        findings.add(where, "the device " + fd.link, "close it before the checkpoint");
        continue;
      default:
        if (is_place(fd)) break;
        findings.add(where, "the special file " + fd.link, "close it before the checkpoint");
        continue;
    }
    const bool deleted = is_deleted_directory(fd);
    if (!deleted && !check_file(fd, findings)) continue;
    image::OpenFile record;
    record.object = objects.next();
    description.becomes(record.object);
    record.path = deleted ? fd.link.substr(0, fd.link.size() - (sizeof kDeleted - 1)) : fd.link;
    record.deleted = deleted;
    record.mode = deleted ? fd.mode & 07777 : 0;
    record.flags = fd.type() == S_IFREG ? fd.flags & ~static_cast<std::uint32_t>(O_TMPFILE) : fd.flags;
    record.position = fd.type() == S_IFCHR || is_place(fd) ? -1 : fd.position;
    record.file_type = fd.type();
    record.file_bytes = fd.type() == S_IFREG ? fd.bytes : 0;
    record.file_modified_ns = fd.modified_ns;
    record.device_number = fd.type() == S_IFCHR ? fd.device_number : 0;
    image.open_files.push_back(std::move(record));
  }
  return {};
}

}  // namespace stasis::checkpoint
