// What the runtime is told in its first argument (wire/launch.h), by whoever executes it from outside.
#pragma once

#include <string>

namespace stasis::launch {

struct MarkerOptions {
  std::string runtime;  // absolute path of the file that is executed
  int report_fd = -1, done_fd = -1;
  int ids_fd = -1;                     // translation table
  unsigned parts = 0;                  // of the filter, beside the base
  int plan_fd = -1, plan_socket = -1;  // one of them: a restore; neither: the first launch of a program
};

// Empty if the path is too long.
std::string format_marker(const MarkerOptions& options);

}  // namespace stasis::launch
