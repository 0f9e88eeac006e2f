// Executing a program in place of this process as if the shell had started it: see launch.h.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace stasis::launch {

struct ForegroundProgram {
  std::string path;  // absolute
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::string cwd;          // empty: stays
  std::vector<int> passed;  // kept open under their numbers
};

// Returns only if that failed; what was changed is as it was.
Error execute_in_foreground(const ForegroundProgram& program);

}  // namespace stasis::launch
