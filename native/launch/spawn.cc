#include "launch/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include "arch/x86_64/raw_syscall.h"
#include "launch/signal_state.h"

namespace stasis::launch {

namespace {

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr int kFirstFreeFd = 64;  // sources are moved above every target before targets are overwritten
constexpr int kMaxDescriptors = 16;

enum class Stage { None, Clone, Session, Directory, Descriptors, Execute };

}  // namespace

// Seen by both children, whose memory is ours. They share the thread pointer of the thread that made them, which goes
// on beside them: so they call the kernel directly, where glibc's functions would write that thread's errno.
struct Spawning::Shared {
  Spawn spawn;
  std::vector<char*> argv, environment;
  char* stacks = nullptr;
  pid_t outer = 0;
  Stage stage = Stage::None;
  int error = 0;

  char* inner_stack_top() const { return stacks + 2 * kStackBytes; }
  char* outer_stack_top() const { return stacks + kStackBytes; }

  [[noreturn]] void run_program();
  long place_descriptors() const;
  [[noreturn]] void fail(Stage failed, long result);
  Error error_told() const;

  static int inner_main(void* shared) { static_cast<Shared*>(shared)->run_program(); }
  static int outer_main(void* shared);
};

namespace {

template <class... A>
long call(long number, A... arguments) {
  unsigned long given[6] = {(unsigned long)(arguments)...};
  return raw_syscall6(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

[[noreturn]] void end(int status) {
  for (;;) call(__NR_exit_group, status);
}

}  // namespace

void Spawning::Shared::fail(Stage failed, long result) {
  stage = failed;
  error = static_cast<int>(-result);
  end(127);
}

// 0 or -errno.
long Spawning::Shared::place_descriptors() const {
  long moved[kMaxDescriptors];
  int count = 0;
  auto move = [&](int fd) { return (moved[count++] = call(__NR_fcntl, fd, F_DUPFD_CLOEXEC, kFirstFreeFd)) >= 0; };
  for (int fd : spawn.stdio) {
    if (!move(fd)) return moved[count - 1];
  }
  for (int fd : spawn.passed) {
    if (!move(fd)) return moved[count - 1];
  }
  for (int target = 0; target < count; ++target) {
    // The copy is without FD_CLOEXEC.
    if (long result = call(__NR_dup3, moved[target], target, 0); result < 0) return result;
  }
  // Kernel 5.11. Without it the keeper closes what it does not know.
  call(__NR_close_range, count, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
  return 0;
}

void Spawning::Shared::run_program() {
  if (long result = call(__NR_setsid); result < 0) fail(Stage::Session, result);
  if (long result = call(__NR_chdir, spawn.cwd.c_str()); result < 0) fail(Stage::Directory, result);
  if (long result = place_descriptors(); result < 0) fail(Stage::Descriptors, result);
  default_signal_actions();
  clear_signal_mask();
  fail(Stage::Execute, call(__NR_execve, spawn.path.c_str(), argv.data(), environment.data()));
}

int Spawning::Shared::outer_main(void* argument) {
  auto* shared = static_cast<Shared*>(argument);
  // SIGCHLD goes to whoever inherits the program. clone(3) touches errno only if it fails.
  if (clone(inner_main, shared->inner_stack_top(), CLONE_VM | CLONE_VFORK | SIGCHLD, shared) < 0) {
    shared->stage = Stage::Clone;
    shared->error = EAGAIN;
  }
  end(0);
}

Error Spawning::Shared::error_told() const {
  switch (stage) {
    case Stage::Session:
      return Error::of_errno(error, "setsid", "starting the keeper");
    case Stage::Directory:
      return Error::of_errno(error, "chdir", "entering the working directory").with_path(spawn.cwd);
    case Stage::Descriptors:
      return Error::of_errno(error, "dup3", "passing descriptors to the keeper");
    case Stage::Execute:
      return Error::of_errno(error, "execve", "executing the keeper").with_path(spawn.path);
    default:
      return Error::of_errno(error, "clone", "starting the keeper");
  }
}

Spawning::Spawning(Spawn spawn) : shared_(new Shared{std::move(spawn)}) {
  shared_->argv = pointers_to(shared_->spawn.arguments);
  shared_->environment = pointers_to(shared_->spawn.environment);
}

Result<std::unique_ptr<Spawning>> Spawning::begin(Spawn spawn) {
  if (spawn.stdio.size() + spawn.passed.size() > kMaxDescriptors) {
    return Error::of_errno(EMFILE, "dup3", "passing descriptors to the keeper");
  }
  std::unique_ptr<Spawning> spawning(new Spawning(std::move(spawn)));
  Shared& shared = *spawning->shared_;
  void* stacks = mmap(nullptr, 2 * kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stacks == MAP_FAILED) return Error::of_errno("mmap", "starting the keeper");
  shared.stacks = static_cast<char*>(stacks);
  // A handler of the caller's must not run in a child that shares its memory.
  BlockedSignals blocked;
  shared.outer = clone(Shared::outer_main, shared.outer_stack_top(), CLONE_VM, &shared);
  if (shared.outer < 0) return Error::of_errno("clone", "starting the keeper");
  return spawning;
}

Status Spawning::finish() {
  if (shared_->outer > 0) {
    // Its exit follows the program's execve (CLONE_VFORK). Without an exit signal it is waited for only by __WALL.
    while (waitpid(shared_->outer, nullptr, __WALL) < 0 && errno == EINTR) {
    }
    shared_->outer = 0;
  }
  if (shared_->stage != Stage::None) return shared_->error_told();
  return {};
}

Spawning::~Spawning() {
  (void)finish().ok();
  if (shared_->stacks != nullptr) munmap(shared_->stacks, 2 * kStackBytes);
}

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace stasis::launch
