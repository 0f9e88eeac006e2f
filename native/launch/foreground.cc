#include "launch/foreground.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "launch/signal_state.h"
#include "launch/spawn.h"
#include "os/unique_fd.h"

namespace stasis::launch {

namespace {

constexpr unsigned kCloseRangeCloexec = 4;  // CLOSE_RANGE_CLOEXEC, kernel 5.11

// Node makes every descriptor that it starts with close-on-exec (uv_disable_stdio_inheritance), and sets O_NONBLOCK on
// pipes and sockets that it uses as standard streams. That flag belongs to the open file description, so the
// application, and everybody who shares it, would see it.
void pass_on_streams() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    fcntl(fd, F_SETFD, 0);
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) != 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  }
}

void keep_only(std::vector<int> passed) {
  unsigned begin = STDERR_FILENO + 1;
  std::sort(passed.begin(), passed.end());
  for (int fd : passed) {
    if (static_cast<unsigned>(fd) > begin) syscall(SYS_close_range, begin, fd - 1, kCloseRangeCloexec);
    fcntl(fd, F_SETFD, 0);
    begin = static_cast<unsigned>(fd) + 1;
  }
  syscall(SYS_close_range, begin, ~0U, kCloseRangeCloexec);
}

}  // namespace

Error execute_in_foreground(const ForegroundProgram& program) {
  std::vector<char*> arguments = pointers_to(program.arguments);
  std::vector<char*> environment = pointers_to(program.environment);
  UniqueFd old_cwd(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!program.cwd.empty() && chdir(program.cwd.c_str()) != 0) {
    return Error::of_errno("chdir", "entering the working directory").with_path(program.cwd);
  }
  pass_on_streams();
  keep_only(program.passed);
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
  if (old_cwd && !program.cwd.empty()) {
    int ignored = fchdir(old_cwd.get());
    (void)ignored;
  }
  return error;
}

}  // namespace stasis::launch
