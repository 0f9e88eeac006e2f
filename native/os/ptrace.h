// ptrace(2) and what belongs to it, one wrapper per request, each naming the thread in its error. All must be called on
// the thread that seized the tracee. ESRCH means the tracee is not stopped or is gone.
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <sys/user.h>

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace stasis::ptrace {

// struct ptrace_rseq_configuration (kernel 5.13).
struct RseqConfiguration {
  std::uint64_t address = 0;
  std::uint32_t bytes = 0;
  std::uint32_t signature = 0;
  std::uint32_t flags = 0;
  std::uint32_t padding = 0;
};

// How a stopped thread may be sent on.
enum class Resume {
  Free,    // PTRACE_CONT
  ToCall,  // PTRACE_SYSCALL: stops at the next entry to or exit from a system call
};

// PTRACE_SEIZE with TRACESYSGOOD and TRACEEXEC. The thread keeps running.
Status seize(pid_t tid);

// What happens to a thread beyond its own stops.
enum class Births {
  Free,    // as after seize()
  Seized,  // what it forks is seized too, with the same options, and stopped before its first instruction
};
Status set_births(pid_t tid, Births births);
// The kernel kills the stopped thread's process when this thread ends.
Status kill_with_tracer(pid_t tid);
// After the event of a birth: the id of what was born.
Result<pid_t> born(pid_t tid);
Status interrupt(pid_t tid);
Status resume(pid_t tid, Resume how, int signal);
Status detach(pid_t tid, int signal);

Result<user_regs_struct> registers(pid_t tid);
Status set_registers(pid_t tid, const user_regs_struct& registers);

// The XSAVE area in standard format, NT_X86_XSTATE.
Result<std::vector<std::uint8_t>> xstate(pid_t tid);

Result<std::uint64_t> signal_mask(pid_t tid);
Status set_signal_mask(pid_t tid, std::uint64_t mask);

Result<siginfo_t> signal_info(pid_t tid);

// Signals in the thread's own queue or in the queue it shares with its process (PTRACE_PEEKSIGINFO), oldest first.
enum class Queue { Thread, Process };
Result<std::vector<siginfo_t>> queued_signals(pid_t tid, Queue queue);

// All zeros if the thread registered none.
Result<RseqConfiguration> rseq_configuration(pid_t tid);

// True in the entry stop of a system call, false in its exit stop (PTRACE_GET_SYSCALL_INFO, kernel 5.3).
Result<bool> at_call_entry(pid_t tid);

}  // namespace stasis::ptrace
