// Files of POSIX shared memory and of named semaphores (shm_overview(7), sem_overview(7)): memory with a name, for as long as the host is up.
// Images hold their content.
#pragma once

#include <string>

namespace stasis::image {

inline constexpr char kSharedFiles[] = "/dev/shm/";

inline bool is_shared_file(const std::string& path) { return path.rfind(kSharedFiles, 0) == 0; }

}  // namespace stasis::image
