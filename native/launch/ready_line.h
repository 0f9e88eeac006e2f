// What the keeper says once on the ready fd: one line, `ok ...` or `error ...` (docs/architecture.md, Launch;
// keeper/failure.h).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"

namespace stasis::launch {

struct Launched {
  pid_t pid = 0;
  std::uint64_t start_time = 0;
  pid_t keeper_pid = 0;
  // After a restore: microseconds of CLOCK_MONOTONIC at the end of each phase.
  std::uint64_t started_us = 0, mapped_us = 0, fds_us = 0, threads_us = 0, resumed_us = 0;
  std::uint64_t map_calls = 0;
  std::uint64_t populated_pages = 0;  // by the restore, of the working set
};

// An `error` line becomes the error it tells; a line that is neither is Failed.
Result<Launched> parse_ready_line(std::string_view line);

// Reads the line from the pipe. Timeout when the deadline passes, Failed if the keeper has ended without a word.
Result<Launched> await_ready(int fd, Deadline deadline);

}  // namespace stasis::launch
