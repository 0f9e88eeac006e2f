#include "checkpoint/probe.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kcmp.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "base/deadline.h"
#include "checkpoint/memory.h"
#include "checkpoint/pages.h"
#include "os/pidfd.h"
#include "os/procfs.h"
#include "os/ptrace.h"
#include "os/sock_diag.h"
#include "os/tcp_repair.h"
#include "tracer/session.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

// What a trial gave: available or not, and why.
struct Trial {
  bool available = false;
  std::string detail;
};

Trial worked(std::string detail = "works") { return {true, std::move(detail)}; }
Trial failed(int error) { return {false, std::strerror(error)}; }
Trial by_result(long result) { return result >= 0 ? worked() : failed(errno); }
Trial by_status(const Status& status) { return status.ok() ? worked() : Trial{false, status.error().message()}; }
template <typename T>
Trial by_status(const Result<T>& result) {
  return result.ok() ? worked() : Trial{false, result.error().message()};
}

constexpr unsigned long kMapQuery = 0xc0686611;  // PROCMAP_QUERY, _IOWR('f', 17, struct procmap_query) of 104 bytes
constexpr unsigned long kSetTicks = 0x40085400;  // TFD_IOC_SET_TICKS, _IOW('T', 0, u64)
constexpr auto kChildTime = std::chrono::seconds(5);

// Runs `body` in a forked child, which may use system calls only; its exit status is an errno, 0 for success.
Trial in_child(int (*body)()) {
  const pid_t child = ::fork();
  if (child < 0) return failed(errno);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(body());
  }
  const Deadline deadline = Deadline::in(kChildTime);
  tracer::Pause pause;
  int status = 0;
  pid_t got;
  while ((got = ::waitpid(child, &status, WNOHANG)) == 0 && !deadline.passed()) pause.wait();
  if (got == 0) {
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    return {false, "no answer in time"};
  }
  if (!WIFEXITED(status)) return {false, std::string("ended by ") + strsignal(WTERMSIG(status))};
  return WEXITSTATUS(status) == 0 ? worked() : failed(WEXITSTATUS(status));
}

// A process to be looked at, ended with the object.
class Sleeper {
 public:
  Sleeper() : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) ::pause();
  }
  Sleeper(const Sleeper&) = delete;
  ~Sleeper() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

// Seccomp: a filter that traps getppid must deliver SIGSYS with the call's number.
volatile sig_atomic_t trapped_number = -1;
void on_trap(int, siginfo_t* info, void*) { trapped_number = info->si_syscall; }

int try_seccomp() {
  struct sigaction action{};
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  if (::sigaction(SIGSYS, &action, nullptr) != 0) return errno;
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{4, filter};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return errno;
  ::syscall(SYS_getppid);
  return trapped_number == SYS_getppid ? 0 : EPROTO;
}

int try_vdso_move() {
  const std::uint64_t vdso = ::getauxval(AT_SYSINFO_EHDR);
  if (vdso == 0) return ENOENT;
  constexpr std::uint64_t kMaxBytes = 16 * wire::kPageBytes;
  void* to = ::mmap(nullptr, kMaxBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (to == MAP_FAILED) return errno;
  std::uint64_t bytes = wire::kPageBytes;
  while (true) {
    void* moved = reinterpret_cast<void*>(
        ::syscall(SYS_mremap, vdso, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, reinterpret_cast<std::uint64_t>(to)));
    if (moved != MAP_FAILED) return 0;
    // A vdso moves only as a whole: other lengths answer EINVAL (arch/x86/entry/vdso/vma.c).
    // CONFIG_MSEAL_SYSTEM_MAPPINGS answers EPERM.
    if (errno != EINVAL || bytes >= kMaxBytes) return errno;
    bytes += wire::kPageBytes;
  }
}

int try_window() {
  void* at = ::mmap(reinterpret_cast<void*>(wire::kWindowBase), wire::kWindowBytes, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (at == MAP_FAILED) return errno;
  return at == reinterpret_cast<void*>(wire::kWindowBase) ? 0 : EEXIST;
}

Trial try_scan() {
  const auto tables = UniqueFd(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!tables) return failed(errno);
  std::uint64_t argument[12] = {sizeof argument};
  std::uint64_t region[3];
  argument[2] = reinterpret_cast<std::uint64_t>(&argument) & ~(wire::kPageBytes - 1);
  argument[3] = argument[2] + wire::kPageBytes;
  argument[5] = reinterpret_cast<std::uint64_t>(region);
  argument[6] = 1;
  argument[10] = argument[11] = 1 << 3;
  return by_result(::ioctl(tables.get(), _IOWR('f', 16, argument), argument));
}

Trial try_map_query() {
  const auto maps = UniqueFd(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  if (!maps) return failed(errno);
  std::uint64_t argument[13] = {sizeof argument, 0, reinterpret_cast<std::uint64_t>(&maps)};
  return by_result(::ioctl(maps.get(), kMapQuery, argument));
}

Trial try_set_ticks() {
  const auto timer = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  if (!timer) return failed(errno);
  const itimerspec hour{{}, {3600, 0}};
  if (::timerfd_settime(timer.get(), 0, &hour, nullptr) != 0) return failed(errno);
  const std::uint64_t ticks = 1;
  return by_result(::ioctl(timer.get(), kSetTicks, &ticks));
}

Trial try_unix_diagnosis() {
  int pair[2];
  if (::syscall(SYS_socketpair, 1 /* AF_UNIX */, 1 | O_CLOEXEC, 0, pair) != 0) return failed(errno);
  const UniqueFd first(pair[0]), second(pair[1]);
  const auto link = procfs::read_link(::getpid(), "fd/" + std::to_string(pair[0]));
  if (!link.ok()) return {false, link.error().message()};
  const auto diagnosis = SocketDiagnosis::open();
  if (!diagnosis.ok()) return {false, diagnosis.error().message()};
  return by_status(diagnosis.value().unix_socket(std::strtoull(link.value().c_str() + 8, nullptr, 10)));
}

Trial try_yama() {
  const auto scope = procfs::read_whole("/proc/sys/kernel/yama/ptrace_scope");
  if (!scope.ok()) return worked("not restricted");
  const int value = std::atoi(scope.value().c_str());
  return {value <= 1, "kernel.yama.ptrace_scope = " + std::to_string(value)};
}

Trial try_rename() {
  // A name that is not there: ENOENT if the flag is known, EINVAL or ENOSYS if not.
  const int result =
      ::renameat2(AT_FDCWD, "/proc/self/stasis-none", AT_FDCWD, "/proc/self/stasis-none-2", RENAME_NOREPLACE);
  return result != 0 && (errno == EINVAL || errno == ENOSYS) ? failed(errno) : worked();
}

// All trials that need a process to be held.
class PtraceTrials {
 public:
  PtraceTrials() {
    if (sleeper_.pid() <= 0) return;
    auto session = tracer::Session::seize(sleeper_.pid(), [](tracer::Tracee&) { return Status(); });
    const Status stopped = session.ok() ? session.value().stop_all(Deadline::in(kChildTime), {}) : session.error();
    if (!stopped.ok()) {
      held_ = {false, stopped.error().message()};
      return;
    }
    const pid_t pid = sleeper_.pid();
    held_ = worked();
    rseq_ = by_status(ptrace::rseq_configuration(pid));
    const auto mask = ptrace::signal_mask(pid);
    mask_ = mask.ok() ? by_status(ptrace::set_signal_mask(pid, mask.value())) : Trial{false, mask.error().message()};
    queue_ = by_status(ptrace::queued_signals(pid, ptrace::Queue::Process));
    call_ = by_status(ptrace::at_call_entry(pid));
    area_ = by_status(ptrace::xstate(pid));
  }

  const Trial& held() const { return held_; }
  const Trial& rseq() const { return rseq_; }
  const Trial& mask() const { return mask_; }
  const Trial& queue() const { return queue_; }
  const Trial& call() const { return call_; }
  const Trial& area() const { return area_; }

 private:
  Sleeper sleeper_;
  Trial held_{false, "no process could be made"}, rseq_, mask_, queue_, call_, area_;
};

Trial try_memory_read() {
  const Sleeper sleeper;
  std::uint64_t value = 0;
  const iovec local{&value, sizeof value}, remote{&value, sizeof value};
  return by_result(::process_vm_readv(sleeper.pid(), &local, 1, &remote, 1, 0));
}

Trial try_compare() {
  const UniqueFd copy(::fcntl(0, F_DUPFD_CLOEXEC, 3));
  const int fd = copy ? copy.get() : -1;
  return by_result(::syscall(SYS_kcmp, ::getpid(), ::getpid(), KCMP_FILE, fd < 0 ? 1 : 0, fd < 0 ? 1 : fd));
}

Trial try_take_fd() {
  auto process = open_process(::getpid());
  if (!process.ok()) return {false, process.error().message()};
  const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return by_status(duplicate_fd_of(process.value(), file.get()));
}

Trial try_repair() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return socket && may_repair(socket.get()) ? worked() : failed(EPERM);
}

Trial try_children() {
  return by_status(procfs::read_text(::getpid(), "task/" + std::to_string(::getpid()) + "/children"));
}

Trial try_memory_map_prctl() {
  unsigned bytes = 0;
  return by_result(::prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &bytes, 0, 0));
}

Trial try_tid_address() {
  int* address = nullptr;
  return by_result(::prctl(PR_GET_TID_ADDRESS, &address));
}

Trial try_memory_file() {
  const UniqueFd file(static_cast<int>(::syscall(SYS_memfd_create, "stasis-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  return file ? worked() : failed(errno);
}

Trial try_close_range() { return by_result(::syscall(SYS_close_range, ~0u - 1, ~0u - 1, 0)); }

constexpr const char* kNewerKernel = "use a newer kernel";
constexpr const char* kConfig = "use a kernel built with CONFIG_CHECKPOINT_RESTORE";
constexpr const char* kContainer = "allow it in the container's seccomp profile, or use a newer kernel";

}  // namespace

std::vector<Feature> probe_features() {
  std::vector<Feature> features;
  const auto add = [&](const char* name, const char* needed_for, bool required, const Trial& trial,
                       const char* remedy) {
    features.push_back({name, needed_for, trial.available, trial.detail, trial.available ? "" : remedy, required});
  };
  const PtraceTrials held;
  add("seccomp filter", "run: traps the calls that the runtime must see", true, in_child(try_seccomp),
      "use a kernel with CONFIG_SECCOMP_FILTER; allow seccomp(2) in the container's profile");
  add("window at 0x7e9000000000", "run: the runtime's place in every process", true, in_child(try_window),
      "report this together with /proc/self/maps");
  add("mremap of the vdso", "run: moves the kernel's vdso into the runtime's window", false, in_child(try_vdso_move),
      "clocks then cost a system call; use a kernel without CONFIG_MSEAL_SYSTEM_MAPPINGS");
  add("ptrace", "checkpoint: stops the application", true, held.held(),
      "allow ptrace(2) in the container's seccomp profile");
  add("yama ptrace_scope", "checkpoint: tracing a process that is not one's own child", true, try_yama(),
      "sysctl kernel.yama.ptrace_scope=1");
  add("PTRACE_GET_RSEQ_CONFIGURATION", "checkpoint: restartable sequences (kernel 5.13)", true, held.rseq(),
      kNewerKernel);
  add("PTRACE_GETSIGMASK, PTRACE_SETSIGMASK", "checkpoint: signal masks", true, held.mask(), kConfig);
  add("PTRACE_PEEKSIGINFO", "checkpoint: queued signals", true, held.queue(), kNewerKernel);
  add("PTRACE_GET_SYSCALL_INFO", "checkpoint: interrupted calls (kernel 5.3)", true, held.call(), kNewerKernel);
  add("NT_X86_XSTATE", "checkpoint: vector registers", true, held.area(), "use a processor with XSAVE");
  add("process_vm_readv", "checkpoint: reads memory", true, try_memory_read(), kContainer);
  add("PAGEMAP_SCAN", "checkpoint: finds pages quickly (kernel 6.7)", false, try_scan(),
      "none needed: /proc/PID/pagemap is read instead, which takes longer");
  add("kcmp", "checkpoint: which descriptors are one open file", true, try_compare(), kContainer);
  add("pidfd_open, pidfd_getfd", "checkpoint: asks sockets and pipes (kernel 5.6)", true, try_take_fd(), kContainer);
  add("unix_diag", "checkpoint: which UNIX sockets belong together", false, try_unix_diagnosis(),
      "modprobe unix_diag; without it applications with socket pairs are refused");
  add("TCP_REPAIR", "checkpoint, restore: keeps TCP connections to outside (--tcp-established)", false, try_repair(),
      "run it with CAP_NET_ADMIN");
  add("PR_GET_TID_ADDRESS", "checkpoint: where threads announce their end", true, try_tid_address(), kConfig);
  add("/proc/PID/task/TID/children", "checkpoint: finds child processes", true, try_children(),
      "use a kernel with CONFIG_PROC_CHILDREN");
  add("renameat2", "checkpoint: commits without replacing anything", false, try_rename(),
      "none needed: rename(2) is used instead");
  add("PR_SET_MM_MAP", "run, restore: the layout that /proc shows", true, try_memory_map_prctl(), kConfig);
  add("memfd_create", "restore: hands over the plan", true, try_memory_file(), kContainer);
  add("close_range", "restore: closes descriptors (kernel 5.9)", false, try_close_range(),
      "none needed: they are closed one by one");
  add("TFD_IOC_SET_TICKS", "restore: expirations of a timerfd that were not read", false, try_set_ticks(), kConfig);
  add("PROCMAP_QUERY", "restored applications: madvise and mremap (kernel 6.11)", false, try_map_query(),
      "none needed: /proc/self/maps is read instead, which takes longer");
  return features;
}

}  // namespace stasis::checkpoint
