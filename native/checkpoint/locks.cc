// Locks on files, from fdinfo, which shows those that were taken by the process or by the open file description (proc_pid_fdinfo(5)).
//
// flock(2) and F_OFD_SETLK belong to the description, F_SETLK and leases to the process.
#include <fcntl.h>

#include <map>
#include <sstream>

#include "checkpoint/fds.h"

namespace stasis::checkpoint {

namespace {

// "1: POSIX  ADVISORY  WRITE 4711 fe:00:1234 10 EOF"
struct Line {
  std::string kind, mode, type, start, end;
};

std::vector<Line> lines_of(const Fd& fd) {
  std::vector<Line> lines;
  std::istringstream text(fd.info.text());
  for (std::string one; std::getline(text, one);) {
    if (one.rfind("lock:", 0) != 0) continue;
    std::istringstream words(one.substr(5));
    std::string number, pid, device;
    Line& line = lines.emplace_back();
    words >> number >> line.kind >> line.mode >> line.type >> pid >> device >> line.start >> line.end;
  }
  return lines;
}

image::FileLock lock_of(const Line& line, image::LockKind kind, int fd) {
  image::FileLock lock;
  lock.fd = fd;
  lock.kind = kind;
  lock.type = line.type == "WRITE" ? F_WRLCK : F_RDLCK;
  lock.start = std::strtoll(line.start.c_str(), nullptr, 10);
  if (line.end != "EOF") lock.length = std::strtoll(line.end.c_str(), nullptr, 10) - lock.start + 1;
  return lock;
}

void refuse(const Fd& fd, const Line& line, Findings& findings) {
  findings.add(fd.where(), "a lock of kind " + line.kind + " on " + fd.link, "release the lock before the checkpoint");
}

}  // namespace

Status save_locks(Objects& objects, image::Image& image, Findings& findings) {
  std::map<std::uint32_t, image::OpenFile*> files;
  for (image::OpenFile& file : image.open_files) files[file.object] = &file;
  for (const Description& description : objects.descriptions) {
    const auto found = files.find(description.first().object);
    image::OpenFile* const file = found == files.end() ? nullptr : found->second;
    if (file != nullptr && objects.phase() == Phase::Stopped) {
      const UniqueFd duplicate = STASIS_TRY(description.first().duplicate());
      const int signal = ::fcntl(duplicate.get(), F_GETSIG);
      file->signal = signal > 0 ? signal : 0;
    }
    for (const Fd& fd : description.fds) {
      for (const Line& line : lines_of(fd)) {
        if (file == nullptr) {
          refuse(fd, line, findings);
        } else if (line.kind == "FLOCK") {
          file->flock = line.type == "WRITE" ? 2 : 1;
        } else if (line.kind == "OFDLCK") {
          // Every number of the description shows it.
          if (&fd == &description.fds.front()) file->locks.push_back(lock_of(line, image::LockKind::Description, -1));
        } else if (line.kind == "POSIX" && line.mode == "ADVISORY") {
          objects.locks[fd.owner].push_back(lock_of(line, image::LockKind::Process, fd.number));
        } else if (line.kind == "LEASE" && line.mode == "ACTIVE") {
          if (&fd == &description.fds.front())
            objects.locks[fd.owner].push_back(lock_of(line, image::LockKind::Lease, fd.number));
        } else if (line.kind == "LEASE") {
          findings.add_passing(fd.where(), "a lease on " + fd.link + " that is being broken", "try again");
        } else {
          refuse(fd, line, findings);
        }
      }
    }
  }
  return {};
}

}  // namespace stasis::checkpoint
