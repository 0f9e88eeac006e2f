#include "os/ptrace.h"

#include <elf.h>
#include <linux/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace stasis::ptrace {

namespace {

// glibc's ptrace() has an enum for its request and other results for PEEK requests; the raw call has neither.
long call(long request, pid_t tid, void* address, void* data) {
  return ::syscall(SYS_ptrace, request, tid, address, data);
}

void* number(std::uint64_t value) { return reinterpret_cast<void*>(value); }

Error failed(const char* request, pid_t tid, std::string doing) {
  return Error::of_errno(request, std::move(doing)).with_tid(tid);
}

constexpr std::uint64_t kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC;
constexpr std::size_t kSignalSetBytes = 8;
constexpr std::size_t kXstateMaxBytes = 64 * 1024;

}  // namespace

Status seize(pid_t tid) {
  if (call(PTRACE_SEIZE, tid, nullptr, number(kOptions)) != 0)
    return failed("PTRACE_SEIZE", tid, "taking hold of the thread");
  return {};
}

Status set_births(pid_t tid, Births births) {
  constexpr std::uint64_t kBirths = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
  const std::uint64_t options = births == Births::Seized ? kOptions | kBirths : kOptions;
  if (call(PTRACE_SETOPTIONS, tid, nullptr, number(options)) != 0)
    return failed("PTRACE_SETOPTIONS", tid, "asking for what the thread forks");
  return {};
}

Status kill_with_tracer(pid_t tid) {
  if (call(PTRACE_SETOPTIONS, tid, nullptr, number(kOptions | PTRACE_O_EXITKILL)) != 0)
    return failed("PTRACE_SETOPTIONS", tid, "binding the process to this one");
  return {};
}

Result<pid_t> born(pid_t tid) {
  unsigned long message = 0;
  if (call(PTRACE_GETEVENTMSG, tid, nullptr, &message) != 0)
    return failed("PTRACE_GETEVENTMSG", tid, "asking for the new process");
  return static_cast<pid_t>(message);
}

Status interrupt(pid_t tid) {
  if (call(PTRACE_INTERRUPT, tid, nullptr, nullptr) != 0) return failed("PTRACE_INTERRUPT", tid, "stopping the thread");
  return {};
}

Status resume(pid_t tid, Resume how, int signal) {
  const long request = how == Resume::Free ? PTRACE_CONT : PTRACE_SYSCALL;
  if (call(request, tid, nullptr, number(static_cast<unsigned>(signal))) != 0) {
    return failed("PTRACE_CONT", tid, "sending the thread on");
  }
  return {};
}

Status detach(pid_t tid, int signal) {
  if (call(PTRACE_DETACH, tid, nullptr, number(static_cast<unsigned>(signal))) != 0) {
    return failed("PTRACE_DETACH", tid, "letting the thread go");
  }
  return {};
}

Result<user_regs_struct> registers(pid_t tid) {
  user_regs_struct result;
  if (call(PTRACE_GETREGS, tid, nullptr, &result) != 0) return failed("PTRACE_GETREGS", tid, "reading the registers");
  return result;
}

Status set_registers(pid_t tid, const user_regs_struct& registers) {
  if (call(PTRACE_SETREGS, tid, nullptr, const_cast<user_regs_struct*>(&registers)) != 0) {
    return failed("PTRACE_SETREGS", tid, "setting the registers");
  }
  return {};
}

Result<std::vector<std::uint8_t>> xstate(pid_t tid) {
  std::vector<std::uint8_t> area(kXstateMaxBytes);
  iovec vector{area.data(), area.size()};
  if (call(PTRACE_GETREGSET, tid, number(NT_X86_XSTATE), &vector) != 0) {
    return failed("PTRACE_GETREGSET", tid, "reading the extended registers");
  }
  area.resize(vector.iov_len);
  return area;
}

Result<std::uint64_t> signal_mask(pid_t tid) {
  std::uint64_t mask = 0;
  if (call(PTRACE_GETSIGMASK, tid, number(kSignalSetBytes), &mask) != 0) {
    return failed("PTRACE_GETSIGMASK", tid, "reading the signal mask");
  }
  return mask;
}

Status set_signal_mask(pid_t tid, std::uint64_t mask) {
  if (call(PTRACE_SETSIGMASK, tid, number(kSignalSetBytes), &mask) != 0) {
    return failed("PTRACE_SETSIGMASK", tid, "setting the signal mask");
  }
  return {};
}

Result<siginfo_t> signal_info(pid_t tid) {
  siginfo_t info;
  if (call(PTRACE_GETSIGINFO, tid, nullptr, &info) != 0) return failed("PTRACE_GETSIGINFO", tid, "reading the signal");
  return info;
}

Result<std::vector<siginfo_t>> queued_signals(pid_t tid, Queue queue) {
  std::vector<siginfo_t> all;
  siginfo_t batch[32];
  while (true) {
    ptrace_peeksiginfo_args arguments{};
    arguments.off = all.size();
    arguments.flags = queue == Queue::Process ? PTRACE_PEEKSIGINFO_SHARED : 0;
    arguments.nr = 32;
    const long count = call(PTRACE_PEEKSIGINFO, tid, &arguments, batch);
    if (count < 0) return failed("PTRACE_PEEKSIGINFO", tid, "reading the queued signals");
    all.insert(all.end(), batch, batch + count);
    if (count < 32) return all;
  }
}

Result<RseqConfiguration> rseq_configuration(pid_t tid) {
  RseqConfiguration result;
  if (call(PTRACE_GET_RSEQ_CONFIGURATION, tid, number(sizeof result), &result) < 0) {
    return failed("PTRACE_GET_RSEQ_CONFIGURATION", tid, "reading the rseq registration");
  }
  return result;
}

Result<bool> at_call_entry(pid_t tid) {
  ptrace_syscall_info info{};
  if (call(PTRACE_GET_SYSCALL_INFO, tid, number(sizeof info), &info) < 0) {
    return failed("PTRACE_GET_SYSCALL_INFO", tid, "reading the stop");
  }
  return info.op == PTRACE_SYSCALL_INFO_ENTRY || info.op == PTRACE_SYSCALL_INFO_SECCOMP;
}

}  // namespace stasis::ptrace
