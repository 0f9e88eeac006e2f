#include "keeper/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace stasis::keeper {

namespace {

// glibc keeps signals 32 and 33 out of the sets that its own functions block, so the kernel is called directly.
constexpr u64 kAllSignals = ~0UL;

alignas(16) char witness_stack[8192];

// Shares the keeper's memory and thread pointer, so it calls nothing that could write errno while the keeper runs.
int witness_main(void* keeper) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != static_cast<pid_t>(reinterpret_cast<intptr_t>(keeper))) _exit(0);
  for (;;) {
    long result;
    asm volatile("syscall" : "=a"(result) : "a"(SYS_pause) : "rcx", "r11", "memory");
  }
}

// Reads the mask behind `name` in /proc/PID/status.
bool is_pending(const char* status, const char* name, int signal) {
  const char* at = strstr(status, name);
  if (at == nullptr) return false;
  u64 mask = strtoul(at + strlen(name), nullptr, 16);
  return (mask >> (signal - 1) & 1) != 0;
}

}  // namespace

int open_signals() {
  if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &kAllSignals, nullptr, sizeof kAllSignals) != 0) return -1;
  return static_cast<int>(syscall(SYS_signalfd4, -1, &kAllSignals, sizeof kAllSignals, SFD_CLOEXEC | SFD_NONBLOCK));
}

void Witness::start() {
  int flags = CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD;
  void* keeper = reinterpret_cast<void*>(static_cast<intptr_t>(getpid()));
  pid_ = clone(witness_main, witness_stack + sizeof witness_stack, flags, keeper);
  if (pid_ < 0) pid_ = 0;
}

void Witness::stop() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

bool Witness::saw(int signal) {
  if (pid_ == 0) return false;
  char path[40], status[4096];
  snprintf(path, sizeof path, "/proc/%d/status", pid_);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = read(fd, status, sizeof status - 1);
  close(fd);
  if (length <= 0) return false;
  status[length] = '\0';
  if (!is_pending(status, "\nShdPnd:\t", signal)) return false;
  stop();
  start();
  return true;
}

void forward_signal(const signalfd_siginfo& info, const Application& application, Witness& witness) {
  int signal = static_cast<int>(info.ssi_signo);
  bool sent = info.ssi_code == SI_USER || info.ssi_code == SI_QUEUE || info.ssi_code == SI_TKILL;
  if (!sent || signal == SIGCHLD || static_cast<pid_t>(info.ssi_pid) == application.pid()) return;
  if (witness.saw(signal)) return;
  if (info.ssi_code == SI_QUEUE) {
    application.signal_with_value(signal, reinterpret_cast<void*>(info.ssi_ptr));
  } else {
    application.signal(signal);
  }
}

void stop_with(int signal) {
  u64 bit = 1UL << (signal - 1);
  kill(getpid(), signal);
  // Pending and blocked until here, but for SIGSTOP. In an orphaned process group the kernel discards it, as it would
  // the application's.
  syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, nullptr, sizeof bit);
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, &bit, nullptr, sizeof bit);
}

void die_by(int number) {
  // RLIMIT_CORE is not looked at when core_pattern is a pipe, dumpable always is (core(5)).
  rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
  u64 bit = 1UL << (number - 1);
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  sigaction(number, &action, nullptr);
  kill(getpid(), number);
  syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, nullptr, sizeof bit);
  _exit(128 + number);
}

}  // namespace stasis::keeper
