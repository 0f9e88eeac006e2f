#include "os/pidfd.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/procfs.h"

namespace stasis {

Result<UniqueFd> open_process(pid_t pid) {
  constexpr unsigned kThread = O_EXCL;  // PIDFD_THREAD, kernel 6.9; EINVAL before
  const pid_t stand_in = procfs::stand_in_of(pid);
  const long fd = ::syscall(SYS_pidfd_open, stand_in, stand_in == pid ? 0 : kThread);
  if (fd < 0) return Error::of_errno("pidfd_open", "opening the process").with_pid(pid);
  return UniqueFd(static_cast<int>(fd));
}

Result<UniqueFd> duplicate_fd_of(const UniqueFd& process, int fd) {
  const long copy = ::syscall(SYS_pidfd_getfd, process.get(), fd, 0);
  if (copy < 0) return Error::of_errno("pidfd_getfd", "taking a duplicate of the application's descriptor").with_fd(fd);
  return UniqueFd(static_cast<int>(copy));  // pidfd_getfd sets close-on-exec
}

Status signal_process(const UniqueFd& process, int signal) {
  if (::syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0) != 0) {
    return Error::of_errno("pidfd_send_signal", "signalling the process");
  }
  return {};
}

Result<bool> same_description(pid_t first_pid, int first_fd, pid_t second_pid, int second_fd) {
  const long order = ::syscall(SYS_kcmp, procfs::stand_in_of(first_pid), procfs::stand_in_of(second_pid), KCMP_FILE,
                               first_fd, second_fd);
  if (order < 0)
    return Error::of_errno("kcmp", "comparing open file descriptions").with_pid(first_pid).with_fd(first_fd);
  return order == 0;
}

}  // namespace stasis
