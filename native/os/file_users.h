// Which processes have a file open or mapped, as far as /proc shows them to the caller: its own user's, or all.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>

namespace stasis {

using FileIdentity = std::pair<std::uint64_t, std::uint64_t>;  // device and inode, as stat(2) gives them

// A process other than `except` that has one of the files, and which; 0 if none is seen. Mappings are found where maps shows the
// numbers of stat(2), as on a tmpfs; on btrfs and overlayfs only descriptors are.
struct FileUser {
  pid_t pid = 0;
  FileIdentity file;
};
FileUser find_file_user(const std::set<FileIdentity>& files, const std::set<pid_t>& except);

// Whether the kernel says that nobody has the file open or mapped, which takes no look at all processes. False: somebody has, or it cannot
// be told so: the caller has neither the file nor CAP_LEASE.
bool is_unused_file(const std::string& path);

}  // namespace stasis
