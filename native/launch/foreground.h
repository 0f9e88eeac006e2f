// Executing a program in place of this process as if the shell had started it: see launch.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace stasis::launch {

struct ForegroundProgram {
  std::string path;  // absolute
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::string cwd;  // empty: stays
  int passed_fd;    // kept open under its number; -1: none
};

// Returns only if that failed; what was changed is as it was.
Error execute_in_foreground(const ForegroundProgram& program);

// Soft limit of open files in the text of /proc/PID/limits; 0 if it is not to be found there, RLIM_INFINITY for
// "unlimited".
std::uint64_t soft_fd_limit_in(std::string_view limits);

}  // namespace stasis::launch
