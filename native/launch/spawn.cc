#include "launch/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "arch/x86_64/raw_syscall.h"
#include "launch/signal_state.h"

namespace stasis::launch {

namespace {

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr std::size_t kStacksBytes = 3 * kStackBytes;  // of the outer process, the program's and its child's
constexpr int kFirstFreeFd = 64;  // sources are moved above every target before targets are overwritten
constexpr int kMaxDescriptors = 16;

enum class Stage { None, Clone, Session, Directory, Descriptors, Execute };

template <class... A>
long call(long number, A... arguments) {
  unsigned long given[6] = {(unsigned long)(arguments)...};
  return raw_syscall6(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

[[noreturn]] void end(int status) {
  for (;;) call(__NR_exit_group, status);
}

// A program to be executed, by a process that shares this memory and the thread pointer of the thread that made it,
// which goes on beside it: so it calls the kernel directly, where glibc's functions would write that thread's errno.
struct Program {
  Spawn spawn;
  std::vector<char*> argv, environment;
  char* stack_top = nullptr;
  Stage stage = Stage::None;
  int error = 0;

  void set(Spawn wanted);
  [[noreturn]] void run();
  [[noreturn]] void fail(Stage failed, long result);
  long place_descriptors() const;
  Error error_told() const;
};

void Program::set(Spawn wanted) {
  spawn = std::move(wanted);
  argv = pointers_to(spawn.arguments);
  environment = pointers_to(spawn.environment);
}

void Program::fail(Stage failed, long result) {
  stage = failed;
  error = static_cast<int>(-result);
  end(127);
}

// 0 or -errno.
long Program::place_descriptors() const {
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
  // Kernel 5.11. Without it the program closes what it does not know.
  call(__NR_close_range, count, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
  return 0;
}

void Program::run() {
  if (long result = call(__NR_setsid); result < 0) fail(Stage::Session, result);
  if (long result = call(__NR_chdir, spawn.cwd.c_str()); result < 0) fail(Stage::Directory, result);
  if (long result = place_descriptors(); result < 0) fail(Stage::Descriptors, result);
  default_signal_actions();
  clear_signal_mask();
  fail(Stage::Execute, call(__NR_execve, spawn.path.c_str(), argv.data(), environment.data()));
}

Error Program::error_told() const {
  switch (stage) {
    case Stage::Session:
      return Error::of_errno(error, "setsid", "starting " + spawn.path);
    case Stage::Directory:
      return Error::of_errno(error, "chdir", "entering the working directory").with_path(spawn.cwd);
    case Stage::Descriptors:
      return Error::of_errno(error, "dup3", "passing descriptors to " + spawn.path);
    case Stage::Execute:
      return Error::of_errno(error, "execve", "executing " + spawn.path);
    default:
      return Error::of_errno(error, "clone", "starting " + spawn.path);
  }
}

}  // namespace

struct Spawning::Shared {
  Program program;
  std::unique_ptr<Program> child;
  char pid_of_child[16] = "";  // decimal
  // 1 while the child has not executed its program: cleared and woken by the kernel (CLONE_CHILD_CLEARTID, which ends
  // with the memory that the process shares, at its execve or exit).
  std::uint32_t child_starts = 0;
  char* stacks = nullptr;
  pid_t outer = 0, inner = 0;

  void start_child();
  void await_child();
  Status result() const;
  static int outer_main(void* shared);
  static int inner_main(void* shared);
  static int child_main(void* program) { static_cast<Program*>(program)->run(); }
};

void Spawning::Shared::start_child() {
  __atomic_store_n(&child_starts, 1, __ATOMIC_RELEASE);
  // Without CLONE_VFORK: both execute at the same time.
  long pid = clone(child_main, child->stack_top, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, child.get(), nullptr,
                   nullptr, &child_starts);
  if (pid < 0) {
    __atomic_store_n(&child_starts, 0, __ATOMIC_RELEASE);
    program.fail(Stage::Clone, -EAGAIN);
  }
  char digits[16];
  int count = 0;
  for (; pid > 0; pid /= 10) digits[count++] = static_cast<char>('0' + pid % 10);
  for (char* to = pid_of_child; count > 0;) *to++ = digits[--count];
}

void Spawning::Shared::await_child() {
  // Not FUTEX_PRIVATE: the kernel's own wake is not (kernel/fork.c, mm_release).
  while (__atomic_load_n(&child_starts, __ATOMIC_ACQUIRE) != 0)
    call(__NR_futex, &child_starts, 0 /* FUTEX_WAIT */, 1, 0);
}

Status Spawning::Shared::result() const {
  if (program.stage != Stage::None) return program.error_told();
  if (child && child->stage != Stage::None) return child->error_told();
  return {};
}

int Spawning::Shared::inner_main(void* argument) {
  auto* shared = static_cast<Shared*>(argument);
  if (shared->child) shared->start_child();
  shared->program.run();
}

int Spawning::Shared::outer_main(void* argument) {
  auto* shared = static_cast<Shared*>(argument);
  // SIGCHLD goes to whoever inherits the program. clone(3) touches errno only if it fails.
  shared->inner = clone(inner_main, shared->program.stack_top, CLONE_VM | CLONE_VFORK | SIGCHLD, shared);
  if (shared->inner < 0) {
    shared->program.stage = Stage::Clone;
    shared->program.error = EAGAIN;
  }
  end(0);
}

Spawning::Spawning(Spawn spawn) : shared_(new Shared) {
  if (spawn.child) {
    shared_->child = std::make_unique<Program>();
    shared_->child->set(std::move(*spawn.child));
  }
  shared_->program.set(std::move(spawn));
  for (char*& argument : shared_->program.argv) {
    if (argument != nullptr && std::strcmp(argument, Spawn::kPidOfChild) == 0) argument = shared_->pid_of_child;
  }
}

Result<std::unique_ptr<Spawning>> Spawning::begin(Spawn spawn) {
  const std::size_t passed = std::max(spawn.passed.size(), spawn.child ? spawn.child->passed.size() : 0);
  if (spawn.stdio.size() + passed > kMaxDescriptors) {
    return Error::of_errno(EMFILE, "dup3", "passing descriptors to " + spawn.path);
  }
  std::unique_ptr<Spawning> spawning(new Spawning(std::move(spawn)));
  Shared& shared = *spawning->shared_;
  void* stacks = mmap(nullptr, kStacksBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stacks == MAP_FAILED) return Error::of_errno("mmap", "starting the keeper");
  shared.stacks = static_cast<char*>(stacks);
  shared.program.stack_top = shared.stacks + 2 * kStackBytes;
  if (shared.child) shared.child->stack_top = shared.stacks + 3 * kStackBytes;
  // A handler of the caller's must not run in a child that shares its memory.
  BlockedSignals blocked;
  shared.outer = clone(Shared::outer_main, shared.stacks + kStackBytes, CLONE_VM, &shared);
  if (shared.outer < 0) return Error::of_errno("clone", "starting the keeper");
  return spawning;
}

Status Spawning::finish() {
  if (shared_->outer > 0) {
    // Its exit follows the program's execve (CLONE_VFORK). Without an exit signal it is waited for only by __WALL.
    while (waitpid(shared_->outer, nullptr, __WALL) < 0 && errno == EINTR) {
    }
    shared_->outer = 0;
    shared_->await_child();
  }
  return shared_->result();
}

pid_t Spawning::pid() const { return shared_->inner; }

Spawning::~Spawning() {
  (void)finish().ok();
  if (shared_->stacks != nullptr) munmap(shared_->stacks, kStacksBytes);
}

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace stasis::launch
