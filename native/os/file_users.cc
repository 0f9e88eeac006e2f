#include "os/file_users.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "os/procfs.h"
#include "os/unique_fd.h"

namespace stasis {

FileUser find_file_user(const std::set<FileIdentity>& files, const std::set<pid_t>& except) {
  if (files.empty()) return {};
  const auto processes = procfs::list_processes();
  if (!processes.ok()) return {};
  for (const pid_t pid : processes.value()) {
    if (pid == ::getpid() || except.contains(pid)) continue;
    const auto lines = procfs::read_maps(pid);  // not of other users' processes
    if (!lines.ok()) continue;
    for (const procfs::MapLine& line : lines.value()) {
      const FileIdentity file{line.device, line.inode};
      if (line.inode != 0 && files.contains(file)) return {pid, file};
    }
    const auto fds = procfs::list_fds(pid);
    if (!fds.ok()) continue;
    for (const int fd : fds.value()) {
      struct stat status;
      const std::string link = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
      if (::stat(link.c_str(), &status) == 0 && files.contains({status.st_dev, status.st_ino}))
        return {pid, {status.st_dev, status.st_ino}};
    }
  }
  return {};
}

// A write lease is given only if no other open file of it exists (fs/locks.c, check_conflicting_open); a mapping holds one. Whoever opens
// the file in these microseconds has it broken by a signal, which is to be one that is ignored.
bool is_unused_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file || ::fcntl(file.get(), F_SETSIG, SIGURG) != 0) return false;
  const bool unused = ::fcntl(file.get(), F_SETLEASE, F_WRLCK) == 0;
  ::fcntl(file.get(), F_SETLEASE, F_UNLCK);
  return unused;
}

}  // namespace stasis
