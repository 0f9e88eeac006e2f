#include "launch/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "arch/x86_64/raw_syscall.h"
#include "launch/signal_state.h"
#include "os/unique_fd.h"

namespace stasis::launch {

namespace {

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr std::size_t kStacksBytes = 3 * kStackBytes;  // of the outer process, the program's and its child's
constexpr int kFirstFreeFd = 64;  // sources are moved above every target before targets are overwritten
constexpr int kMaxDescriptors = 16;
constexpr std::chrono::milliseconds kEndTime{1'000};  // for a process that was killed

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
  pid_t outer = 0, inner = 0, inner_child = 0;
  UniqueFd outer_end;      // readable when the outer process has ended
  bool timed_out = false;  // the processes were killed

  ~Shared();
  void start_child();
  bool await_outer(Deadline deadline);
  bool await_child(Deadline deadline);
  bool await_all(Deadline deadline);
  void kill_all();
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
  inner_child = static_cast<pid_t>(pid);
  char digits[16];
  int count = 0;
  for (; pid > 0; pid /= 10) digits[count++] = static_cast<char>('0' + pid % 10);
  for (char* to = pid_of_child; count > 0;) *to++ = digits[--count];
}

Spawning::Shared::~Shared() {
  if (stacks == nullptr) return;
#ifdef __SANITIZE_ADDRESS__
  // Nobody has returned on these stacks: the marks of their frames would be there for the next who gets this memory.
  ASAN_UNPOISON_MEMORY_REGION(stacks, kStacksBytes);
#endif
  munmap(stacks, kStacksBytes);
}

// Its exit follows the program's execve (CLONE_VFORK).
bool Spawning::Shared::await_outer(Deadline deadline) {
  if (outer <= 0) return true;
  pollfd entry{outer_end.get(), POLLIN, 0};
  while (poll(&entry, 1, deadline.milliseconds_left()) <= 0) {
    if (deadline.passed()) return false;
  }
  // Without an exit signal it is waited for only by __WALL.
  while (waitpid(outer, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  outer = 0;
  return true;
}

bool Spawning::Shared::await_child(Deadline deadline) {
  while (__atomic_load_n(&child_starts, __ATOMIC_ACQUIRE) != 0) {
    const int left = deadline.milliseconds_left();
    if (left == 0) return false;
    const timespec time{left / 1000, left % 1000 * 1'000'000};
    // Not FUTEX_PRIVATE: the kernel's own wake is not (kernel/fork.c, mm_release).
    call(__NR_futex, &child_starts, 0 /* FUTEX_WAIT */, 1, &time);
  }
  return true;
}

bool Spawning::Shared::await_all(Deadline deadline) { return await_outer(deadline) && await_child(deadline); }

// Those that do not execute yet. Their numbers are still theirs: the child has not cleared its word, and the inner
// process is not reaped before the outer one ends.
void Spawning::Shared::kill_all() {
  const pid_t child_pid = __atomic_load_n(&inner_child, __ATOMIC_ACQUIRE);
  const pid_t inner_pid = __atomic_load_n(&inner, __ATOMIC_ACQUIRE);
  if (__atomic_load_n(&child_starts, __ATOMIC_ACQUIRE) != 0 && child_pid > 0) kill(child_pid, SIGKILL);
  if (outer > 0 && inner_pid > 0) kill(inner_pid, SIGKILL);
}

Status Spawning::Shared::result() const {
  if (timed_out) return Error::plain(ErrorKind::Timeout, "executing " + program.spawn.path);
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
  constexpr int kFlags = CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | SIGCHLD;
  if (clone(inner_main, shared->program.stack_top, kFlags, shared, &shared->inner) < 0) {
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
  int outer_end = -1;
  shared.outer = clone(Shared::outer_main, shared.stacks + kStackBytes, CLONE_VM | CLONE_PIDFD, &shared, &outer_end);
  if (shared.outer < 0) return Error::of_errno("clone", "starting the keeper");
  shared.outer_end = UniqueFd(outer_end);
  return spawning;
}

Status Spawning::finish(Deadline deadline) {
  if (!shared_->await_all(deadline)) {
    shared_->timed_out = true;
    shared_->kill_all();
    (void)shared_->await_all(Deadline::in(kEndTime));
  }
  return shared_->result();
}

pid_t Spawning::pid() const { return shared_->inner; }

pid_t Spawning::child_pid() const { return __atomic_load_n(&shared_->inner_child, __ATOMIC_ACQUIRE); }

Spawning::~Spawning() {
  (void)finish(Deadline::in(kEndTime)).ok();
  // What cannot even be killed still has the memory in use.
  if (!shared_->await_all(Deadline::in({}))) (void)shared_.release();
}

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace stasis::launch
