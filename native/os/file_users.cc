#include "os/file_users.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "os/procfs.h"

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

}  // namespace stasis
