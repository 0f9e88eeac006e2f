#include "keeper/application.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "launch/id_table.h"
#include "launch/marker.h"
#include "restore/report.h"
#include "wire/parts.h"

namespace stasis::keeper {

namespace {

// How long a process that has closed the pipe without a word may take to die. It is past exit_files() in the kernel
// already.
constexpr int kDyingMs = 2000;

struct ChildPlan {
  const Options* options;
  char** argv;
  int report_fd, done_fd, ids_fd;
};

void keep_over_exec(int fd) { fcntl(fd, F_SETFD, 0); }

// Runs in a vfork child: the memory is the keeper's, the descriptors and signal state are its own. Dispositions are
// left alone, since the keeper installs no handler: what the caller ignored stays ignored and all else is default.
[[noreturn]] void run_child(const ChildPlan& plan, int* error) {
  if (plan.options->mode == Mode::Detached) setsid();
  keep_over_exec(plan.report_fd);
  keep_over_exec(plan.done_fd);
  if (plan.ids_fd >= 0) keep_over_exec(plan.ids_fd);
  if (plan.options->is_restore()) keep_over_exec(plan.options->plan_fd);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(plan.options->runtime, plan.argv, environ);
  *error = errno;
  _exit(127);
}

}  // namespace

bool Application::make_report(Failure& failure) {
  report_fd_ = memfd_create("stasis-report", MFD_CLOEXEC);
  if (report_fd_ < 0 || ftruncate(report_fd_, 4096) != 0) {
    failure = failure_of_errno(errno, "making the report page");
    return false;
  }
  return map_report(failure);
}

bool Application::map_report(Failure& failure) {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, report_fd_, 0);
  if (page == MAP_FAILED) {
    failure = failure_of_errno(errno, "mapping the report page");
    return false;
  }
  report_ = static_cast<wire::Report*>(page);
  return true;
}

namespace {

// Of the filter, beside the base.
u32 parts_of(const Options& options, bool has_table) {
  const u32 sites = wire::sites_part(options.fast_path != 0);
  return has_table ? wire::kPartIds | (options.network != 0 ? wire::kPartNet : 0) | sites : sites;
}

}  // namespace

// Only an application that asks for it has a table: in a plain launch, virtual and system ids are the same.
bool Application::make_ids(const Options& options, Failure& failure) {
  ids_fd_ = options.ids_fd;
  if (options.shift_ids != 0 || options.network != 0) {
    const char* id = strrchr(options.directory, '/') + 1;
    auto table = launch::make_id_table({.application = id,
                                        .parts = parts_of(options, true),
                                        .shift = static_cast<u32>(options.shift_ids),
                                        .environment = static_cast<u32>(options.network),
                                        .own_address = static_cast<u32>(options.host)});
    if (!table.ok()) {
      failure = failure_of_errno(table.error().error, "making the table of ids");
      return false;
    }
    ids_fd_ = table.value().release();
  }
  if (ids_fd_ >= 0) launch::name_keeper(ids_fd_, static_cast<u32>(getpid()), static_cast<u32>(ids_fd_));
  return true;
}

bool Application::start(const Options& options, Failure& failure) {
  if (!make_ids(options, failure)) return false;
  if (options.adopts()) {
    pid_ = options.pid;
    done_fd_ = options.done_fd;
    report_fd_ = options.report_fd;
    if (!map_report(failure)) return false;
    close(report_fd_);
  } else if (!execute(options, failure)) {
    return false;
  }
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  return true;
}

bool Application::execute(const Options& options, Failure& failure) {
  if (!make_report(failure)) return false;
  int done[2];
  if (pipe2(done, O_CLOEXEC) != 0) {
    failure = failure_of_errno(errno, "making a pipe");
    return false;
  }
  done_fd_ = done[0];

  std::string marker = launch::format_marker({.runtime = options.runtime,
                                              .report_fd = report_fd_,
                                              .done_fd = done[1],
                                              .ids_fd = ids_fd_,
                                              .parts = parts_of(options, ids_fd_ >= 0),
                                              .plan_fd = options.plan_fd});
  if (marker.empty()) {
    failure = failure_of_kind(ErrorKind::Usage, "the runtime's path is too long");
    return false;
  }
  // argv of the runtime: the marker, then PROGRAM ARGV0 ARG... as they stand in the keeper's own arguments.
  size_t words = 0;
  while (options.program != nullptr && options.program[words] != nullptr) ++words;
  char** argv = static_cast<char**>(calloc(words + 3, sizeof(char*)));
  if (argv == nullptr) {
    failure = failure_of_errno(ENOMEM, "starting the runtime");
    return false;
  }
  argv[0] = marker.data();
  for (size_t at = 0; at < words; ++at) argv[at + 1] = options.program[at];

  ChildPlan plan{&options, argv, report_fd_, done[1], ids_fd_};
  int error = 0;
  pid_ = vfork();
  if (pid_ == 0) run_child(plan, &error);
  if (pid_ < 0) error = errno;
  free(argv);
  close(done[1]);
  if (options.is_restore()) close(options.plan_fd);
  close(report_fd_);
  if (error != 0) {
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    pid_ = 0;
    char doing[1024];
    snprintf(doing, sizeof doing, "executing the runtime, %s", options.runtime);
    failure = failure_of_errno(error, doing);
    return false;
  }
  return true;
}

bool Application::finish_start(Failure& failure) {
  close(done_fd_);
  done_fd_ = -1;
  auto state = static_cast<wire::ReportState>(__atomic_load_n(&report_->state, __ATOMIC_ACQUIRE));
  if (state == wire::ReportState::Done) return true;
  if (state == wire::ReportState::Failed) {
    failure.report = *report_;
    failure.kind = restore::error_of_report(failure.report).kind;
  } else {
    describe_death(failure);
  }
  return false;
}

void Application::describe_death(Failure& failure) {
  pollfd dying{pidfd_, POLLIN, 0};
  siginfo_t info{};
  char text[128] = "the process closed its report without a word";
  if (pidfd_ >= 0) poll(&dying, 1, kDyingMs);
  if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_) {
    const char* how = info.si_code == CLD_EXITED ? "exited with status" : "was ended by signal";
    snprintf(text, sizeof text, "the process %s %d before the program ran", how, info.si_status);
  }
  failure = failure_of_kind(ErrorKind::Failed, text);
}

namespace {

// Kills every child of the caller but `spared` and reaps it; false if there was none. A half-built process's own children
// become the caller's when it ends, since the keeper is their subreaper.
bool kill_children(pid_t spared) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  char text[4096];
  ssize_t bytes = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
  if (fd >= 0) close(fd);
  text[bytes > 0 ? bytes : 0] = 0;
  bool found = false;
  char* at = text;
  for (char* end; *at != 0; at = end) {
    pid_t child = static_cast<pid_t>(strtol(at, &end, 10));
    if (end == at) break;
    if (child <= 0 || child == spared) continue;
    found = true;
    kill(child, SIGKILL);
    waitpid(child, nullptr, WNOHANG | __WALL);
  }
  return found;
}

}  // namespace

void Application::abandon(pid_t spared) {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  // They end at once unless they hang in the kernel (a dead network file system); nothing can be done about that, so the
  // wait is bounded.
  constexpr int kPauseMs = 2;
  for (int waited = 0; waited < kDyingMs; waited += kPauseMs) {
    const bool first_left = waitpid(pid_, nullptr, WNOHANG | __WALL) == 0;
    if (!kill_children(spared) && !first_left) break;
    poll(nullptr, 0, kPauseMs);
  }
  pid_ = 0;
}

int Application::signal(int number) const {
  if (pid_ == 0) return ESRCH;
  // Not reaped before the keeper ends its work, so the pid cannot be another's, but the pidfd costs nothing more.
  long result = pidfd_ >= 0 ? syscall(SYS_pidfd_send_signal, pidfd_, number, nullptr, 0) : kill(pid_, number);
  return result == 0 ? 0 : errno;
}

int Application::signal_with_value(int number, void* value) const {
  siginfo_t info{};
  info.si_signo = number;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = value;
  return syscall(SYS_rt_sigqueueinfo, pid_, number, &info) == 0 ? 0 : errno;
}

}  // namespace stasis::keeper
