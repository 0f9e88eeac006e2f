// Handles on a process that its number's next owner cannot take over (pidfd_open(2), kernel 5.3; pidfd_getfd(2), 5.6).
#pragma once

#include <sys/types.h>

#include "base/deadline.h"
#include "base/result.h"
#include "os/unique_fd.h"

namespace stasis {

// Of a process whose main thread has ended (procfs::find_stand_in), the handle is on another thread, which needs kernel 6.9: EINVAL before.
Result<UniqueFd> open_process(pid_t pid);

// A duplicate of the process's fd: the same open file description, so nothing may be read from it that the process
// should see.
Result<UniqueFd> duplicate_fd_of(const UniqueFd& process, int fd);

Status signal_process(const UniqueFd& process, int signal);

// Whether two fds, of the same or of two processes, are one open file description (kcmp(2), KCMP_FILE).
Result<bool> same_description(pid_t first_pid, int first_fd, pid_t second_pid, int second_fd);

}  // namespace stasis
