#include "tracer/rewind.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace stasis::tracer {

namespace {

constexpr long kRestartSys = -512, kRestartNoIntr = -513, kRestartNoHandler = -514,
               kRestartBlock = -516;  // linux/errno.h
constexpr std::uint64_t kSyscallBytes = 2;

// Calls that answer EINTR after a stop although no handler ran (signal(7)); socket calls do when they have a timeout.
constexpr long kEndedByStop[] = {
    SYS_epoll_wait,   SYS_epoll_pwait,   SYS_epoll_pwait2, SYS_rt_sigtimedwait, SYS_semop,   SYS_semtimedop,
    SYS_io_getevents, SYS_io_pgetevents, SYS_read,         SYS_readv,           SYS_write,   SYS_writev,
    SYS_recvfrom,     SYS_recvmsg,       SYS_recvmmsg,     SYS_sendto,          SYS_sendmsg, SYS_sendmmsg,
    SYS_accept,       SYS_accept4,       SYS_connect,
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
  return std::find(std::begin(kEndedByStop), std::end(kEndedByStop), static_cast<long>(registers.orig_rax)) !=
         std::end(kEndedByStop);
}

user_regs_struct rewound(const user_regs_struct& registers) {
  user_regs_struct result = registers;
  result.rip -= kSyscallBytes;
  result.rax = registers.orig_rax;
  result.orig_rax = static_cast<unsigned long long>(-1);
  return result;
}

namespace {

constexpr std::uint64_t kCodeBytes = 32;
constexpr std::uint64_t kLowestPointer = 4096;  // nothing can be mapped below (vm.mmap_min_addr)
constexpr long kCandidates[] = {SYS_nanosleep, SYS_clock_nanosleep, SYS_poll, SYS_futex};
constexpr std::uint64_t kFutexCommand = 0x7f, kFutexWait = 0, kFutexWaitBitset = 9;

// `mov $number, %eax` (b8 and four bytes) in front of the call, as nearly every library has it; the nearest one counts.
long number_in_code(const user_regs_struct& registers, const ProcessMemory& memory) {
  std::uint8_t code[kCodeBytes];
  if (!memory.read(registers.rip - kSyscallBytes - kCodeBytes, code).ok()) return -1;
  for (std::size_t at = kCodeBytes - 5 + 1; at-- > 0;) {
    std::uint32_t number;
    std::memcpy(&number, code + at + 1, sizeof number);
    const bool candidate =
        std::find(std::begin(kCandidates), std::end(kCandidates), static_cast<long>(number)) != std::end(kCandidates);
    if (code[at] == 0xb8 && candidate) return static_cast<long>(number);
  }
  return -1;
}

bool is_time(const ProcessMemory& memory, std::uint64_t address) {
  if (address < kLowestPointer) return false;
  const auto time = memory.read_value<timespec>(address);
  return time.ok() && time.value().tv_sec >= 0 && time.value().tv_nsec >= 0 && time.value().tv_nsec < 1'000'000'000;
}

}  // namespace

long original_call(const user_regs_struct& registers, const ProcessMemory& memory) {
  const long in_code = number_in_code(registers, memory);
  if (in_code >= 0) return in_code;
  // nanosleep(time, time), clock_nanosleep(clock, flags, time, time), futex(word, command, value, time), poll(fds,
  // count, ms)
  if (registers.rsi >= kLowestPointer) return SYS_nanosleep;
  if (registers.rdi < kLowestPointer) return is_time(memory, registers.rdx) ? SYS_clock_nanosleep : SYS_poll;
  const std::uint64_t command = registers.rsi & kFutexCommand;
  if ((command == kFutexWait || command == kFutexWaitBitset) && is_time(memory, registers.r10)) {
    const auto word = memory.read_value<std::uint32_t>(registers.rdi);
    if (word.ok() && word.value() == static_cast<std::uint32_t>(registers.rdx)) return SYS_futex;
  }
  return registers.rsi == 0 && is_time(memory, registers.rdi) ? SYS_nanosleep : SYS_poll;
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

Status leave_rseq_section(const ptrace::RseqConfiguration& rseq, const ProcessMemory& memory,
                          user_regs_struct& registers) {
  if (rseq.address == 0) return {};
  const auto pointer = STASIS_TRY(memory.read_value<std::uint64_t>(rseq.address + kCriticalSectionOffset));
  if (pointer == 0) return {};
  const auto section = memory.read_value<CriticalSection>(pointer);
  if (!section.ok()) return {};  // a wild pointer: the kernel will deal with it as it sees fit
  if (registers.rip - section.value().start < section.value().bytes) registers.rip = section.value().abort;
  return {};
}

}  // namespace stasis::tracer
