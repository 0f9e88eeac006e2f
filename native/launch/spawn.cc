#include "launch/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include "base/scope_exit.h"
#include "launch/signal_state.h"

namespace stasis::launch {

namespace {

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr int kFirstFreeFd = 64;  // sources are moved above every target before targets are overwritten

enum class Stage { None, Clone, Session, Directory, Descriptors, Execute };

// Seen by both children, whose memory is ours.
struct Shared {
  const Spawn* spawn;
  char** argv;
  char** environment;
  char* inner_stack_top;
  Stage stage = Stage::None;
  int error = 0;
};

bool place_descriptors(const Spawn& spawn) {
  int moved[16];
  int count = 0;
  auto move = [&](int fd) { return (moved[count++] = fcntl(fd, F_DUPFD_CLOEXEC, kFirstFreeFd)) >= 0; };
  for (int fd : spawn.stdio) {
    if (!move(fd)) return false;
  }
  for (int fd : spawn.passed) {
    if (count == 16 || !move(fd)) return false;
  }
  for (int target = 0; target < count; ++target) {
    if (dup2(moved[target], target) < 0) return false;  // without FD_CLOEXEC
  }
  // Kernel 5.11. Without it the keeper closes what it does not know.
  syscall(SYS_close_range, static_cast<unsigned>(count), ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
  return true;
}

// The program to be. Between clone and execve nothing but system calls: the other threads of the caller go on in this
// memory.
int inner_main(void* argument) {
  auto* shared = static_cast<Shared*>(argument);
  const Spawn& spawn = *shared->spawn;
  auto fail = [&](Stage stage) {
    shared->stage = stage;
    shared->error = errno;
    _exit(127);
  };
  if (setsid() < 0) fail(Stage::Session);
  if (chdir(spawn.cwd.c_str()) != 0) fail(Stage::Directory);
  if (!place_descriptors(spawn)) fail(Stage::Descriptors);
  default_signal_actions();
  clear_signal_mask();
  execve(spawn.path.c_str(), shared->argv, shared->environment);
  fail(Stage::Execute);
  return 0;
}

int outer_main(void* argument) {
  auto* shared = static_cast<Shared*>(argument);
  // SIGCHLD goes to whoever inherits the program.
  if (clone(inner_main, shared->inner_stack_top, CLONE_VM | CLONE_VFORK | SIGCHLD, shared) < 0) {
    shared->stage = Stage::Clone;
    shared->error = errno;
  }
  _exit(0);
}

Error error_of(const Shared& shared) {
  switch (shared.stage) {
    case Stage::Session:
      return Error::of_errno(shared.error, "setsid", "starting the keeper");
    case Stage::Directory:
      return Error::of_errno(shared.error, "chdir", "entering the working directory").with_path(shared.spawn->cwd);
    case Stage::Descriptors:
      return Error::of_errno(shared.error, "dup2", "passing descriptors to the keeper");
    case Stage::Execute:
      return Error::of_errno(shared.error, "execve", "executing the keeper").with_path(shared.spawn->path);
    default:
      return Error::of_errno(shared.error, "clone", "starting the keeper");
  }
}

}  // namespace

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Status spawn(const Spawn& spawn) {
  std::vector<char*> argv = pointers_to(spawn.arguments);
  std::vector<char*> environment = pointers_to(spawn.environment);
  void* stacks = mmap(nullptr, 2 * kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stacks == MAP_FAILED) return Error::of_errno("mmap", "starting the keeper");
  ScopeExit unmap([&] { munmap(stacks, 2 * kStackBytes); });
  char* base = static_cast<char*>(stacks);
  Shared shared{&spawn, argv.data(), environment.data(), base + 2 * kStackBytes};

  // A handler of the caller's must not run in a child that shares its memory.
  BlockedSignals blocked;
  pid_t outer = clone(outer_main, base + kStackBytes, CLONE_VM | CLONE_VFORK, &shared);
  if (outer < 0) return Error::of_errno("clone", "starting the keeper");
  while (waitpid(outer, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  if (shared.stage != Stage::None) return error_of(shared);
  return {};
}

}  // namespace stasis::launch
