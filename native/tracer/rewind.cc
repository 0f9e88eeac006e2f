#include "tracer/rewind.h"

#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

namespace stasis::tracer {

namespace {

constexpr long kRestartSys = -512, kRestartNoIntr = -513, kRestartNoHandler = -514, kRestartBlock = -516;  // linux/errno.h
constexpr std::uint64_t kSyscallBytes = 2;

// Calls that answer EINTR after a stop although no handler ran (signal(7)); socket calls do when they have a timeout.
constexpr long kEndedByStop[] = {
    SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_rt_sigtimedwait, SYS_semop,   SYS_semtimedop, SYS_io_getevents,
    SYS_io_pgetevents, SYS_read,     SYS_readv,        SYS_write,           SYS_writev,  SYS_recvfrom,   SYS_recvmsg,
    SYS_recvmmsg,      SYS_sendto,   SYS_sendmsg,      SYS_sendmmsg,        SYS_accept,  SYS_accept4,    SYS_connect,
};

// Fields of struct rseq and struct rseq_cs (linux/rseq.h).
struct CriticalSection {
  std::uint32_t version;
  std::uint32_t flags;
  std::uint64_t start;
  std::uint64_t bytes;
  std::uint64_t abort;
};
constexpr std::uint64_t kCriticalSectionOffset = 8;  // rseq_cs in struct rseq

bool in_call(const user_regs_struct& registers) { return static_cast<long>(registers.orig_rax) >= 0; }

}  // namespace

Interruption interruption_of(const user_regs_struct& registers, Tracee::At at) {
  if (at == Tracee::At::Entry) return Interruption::NotIssued;
  if (!in_call(registers)) return Interruption::None;
  switch (static_cast<long>(registers.rax)) {
    case kRestartSys:
    case kRestartNoIntr:
    case kRestartNoHandler:
      return Interruption::Restart;
    case kRestartBlock:
      return Interruption::RestartBlock;
    default:
      return Interruption::None;
  }
}

bool ended_by_stop(const user_regs_struct& registers) {
  if (!in_call(registers) || static_cast<long>(registers.rax) != -EINTR) return false;
  return std::find(std::begin(kEndedByStop), std::end(kEndedByStop), static_cast<long>(registers.orig_rax)) != std::end(kEndedByStop);
}

user_regs_struct rewound(const user_regs_struct& registers) {
  user_regs_struct result = registers;
  result.rip -= kSyscallBytes;
  result.rax = registers.orig_rax;
  result.orig_rax = static_cast<unsigned long long>(-1);
  return result;
}

user_regs_struct entering_again(const user_regs_struct& registers, Interruption interruption) {
  user_regs_struct result = registers;
  result.rax = static_cast<unsigned long long>(-ENOSYS);  // as the kernel presets it at every entry
  if (interruption == Interruption::RestartBlock) result.orig_rax = SYS_restart_syscall;
  return result;
}

WaitingSignal waiting_signal(const std::vector<siginfo_t>& queued, std::uint64_t mask, std::uint64_t caught,
                             const wire::RuntimeState& state) {
  WaitingSignal result;
  for (const siginfo_t& info : queued) {
    if (info.si_signo < 1 || info.si_signo > static_cast<int>(wire::kSignalCount)) continue;
    const std::uint64_t bit = 1ULL << (info.si_signo - 1);
    if ((mask & bit) != 0 || (caught & bit) == 0) continue;
    result.any = true;
    result.restart = (state.actions[info.si_signo - 1].flags & SA_RESTART) != 0;
    break;  // the first one's handler decides
  }
  return result;
}

user_regs_struct outside_call(const user_regs_struct& registers, Interruption interruption, WaitingSignal waiting) {
  if (interruption == Interruption::None) return registers;
  const long code = static_cast<long>(registers.rax);
  const bool ends = waiting.any && interruption != Interruption::NotIssued && code != kRestartNoIntr &&
                    !(code == kRestartSys && waiting.restart);
  if (!ends) return rewound(registers);
  user_regs_struct result = registers;
  result.rax = static_cast<unsigned long long>(-EINTR);
  result.orig_rax = static_cast<unsigned long long>(-1);
  return result;
}

Status leave_rseq_section(const ptrace::RseqConfiguration& rseq, const ProcessMemory& memory, user_regs_struct& registers) {
  if (rseq.address == 0) return {};
  const auto pointer = STASIS_TRY(memory.read_value<std::uint64_t>(rseq.address + kCriticalSectionOffset));
  if (pointer == 0) return {};
  const auto section = memory.read_value<CriticalSection>(pointer);
  if (!section.ok()) return {};  // a wild pointer: the kernel will deal with it as it sees fit
  if (registers.rip - section.value().start < section.value().bytes) registers.rip = section.value().abort;
  return {};
}

}  // namespace stasis::tracer
