#include "launch/foreground.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "launch/signal_state.h"
#include "launch/spawn.h"
#include "os/procfs.h"
#include "os/unique_fd.h"

namespace stasis::launch {

namespace {

constexpr unsigned kCloseRangeCloexec = 4;  // CLOSE_RANGE_CLOEXEC, kernel 5.11

// Node sets O_NONBLOCK on pipes and sockets that it uses as standard streams. The flag belongs to the open file
// description, so the application, and everybody who shares it, would see it.
void make_streams_blocking() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) != 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  }
}

// Node raises the soft limit of open files to the hard one at its start and keeps no note of what it was. The parent's
// is what this process was given, unless the hard limit tells that they differ in origin.
void lower_fd_limit(rlimit& before) {
  if (getrlimit(RLIMIT_NOFILE, &before) != 0 || before.rlim_cur != before.rlim_max) return;
  auto limits = procfs::read_text(getppid(), "limits");
  if (!limits.ok()) return;
  std::uint64_t soft = soft_fd_limit_in(limits.value());
  if (soft == 0 || soft >= before.rlim_cur) return;
  rlimit lowered{soft, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &lowered);
}

void keep_only(int passed_fd) {
  unsigned begin = STDERR_FILENO + 1;
  if (passed_fd >= 0) {
    if (static_cast<unsigned>(passed_fd) > begin) syscall(SYS_close_range, begin, passed_fd - 1, kCloseRangeCloexec);
    fcntl(passed_fd, F_SETFD, 0);
    begin = static_cast<unsigned>(passed_fd) + 1;
  }
  syscall(SYS_close_range, begin, ~0U, kCloseRangeCloexec);
}

}  // namespace

std::uint64_t soft_fd_limit_in(std::string_view limits) {
  constexpr std::string_view kName = "Max open files";
  std::size_t at = limits.find(kName);
  if (at == limits.npos) return 0;
  limits.remove_prefix(at + kName.size());
  limits.remove_prefix(std::min(limits.find_first_not_of(' '), limits.size()));
  if (limits.starts_with("unlimited")) return RLIM_INFINITY;
  std::uint64_t value = 0;
  std::from_chars(limits.data(), limits.data() + limits.size(), value);
  return value;
}

Error execute_in_foreground(const ForegroundProgram& program) {
  std::vector<char*> arguments = pointers_to(program.arguments);
  std::vector<char*> environment = pointers_to(program.environment);
  UniqueFd old_cwd(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!program.cwd.empty() && chdir(program.cwd.c_str()) != 0) {
    return Error::of_errno("chdir", "entering the working directory").with_path(program.cwd);
  }
  make_streams_blocking();
  keep_only(program.passed_fd);
  rlimit fd_limit{};
  lower_fd_limit(fd_limit);
  SavedSignalActions actions;
  int error_number = 0;
  {
    BlockedSignals blocked;  // no handler of this process runs once its action is gone
    default_signal_actions();
    clear_signal_mask();
    execve(program.path.c_str(), arguments.data(), environment.data());
    error_number = errno;
    actions.put_back();
  }
  Error error = Error::of_errno(error_number, "execve", "executing the keeper").with_path(program.path);
  if (fd_limit.rlim_max != 0) setrlimit(RLIMIT_NOFILE, &fd_limit);
  if (old_cwd && !program.cwd.empty()) {
    int ignored = fchdir(old_cwd.get());
    (void)ignored;
  }
  return error;
}

}  // namespace stasis::launch
