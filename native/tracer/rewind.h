// Calls that a stop interrupted.
//
// A thread that is stopped while it waits in a system call comes out of the wait first. The kernel then leaves one of
// its internal codes in rax, to be acted on when the thread goes on, or, for a few calls, plain -EINTR. What each asks
// for:
//
//   -ERESTARTSYS (512), -ERESTARTNOINTR (513), -ERESTARTNOHAND (514)   issue the call again with its arguments
//   -ERESTART_RESTARTBLOCK (516)   a relative wait: restart_syscall(2) goes on with the time that is left; where the
//   kernel's record of
//                                  it is lost (a restored process), issue the call again with its full time
//   -EINTR from a call of the list in rewind.cc    nothing came to pass: issue it again (signal(7), "interruption by
//   stop signals")
//
// A wait that was interrupted before, by a checkpoint or by job control, is already in restart_syscall; which call it
// was is then found out from the code and the arguments (original_call).
//
// Only then, if a signal that the program handles is waiting at the same time, the kernel's own rule applies: the call
// ends with EINTR, or is issued again after the handler (SA_RESTART).
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <vector>

#include "os/process_memory.h"
#include "os/ptrace.h"
#include "tracer/session.h"
#include "wire/descriptor.h"

namespace stasis::tracer {

enum class Interruption {
  None,          // not in a call, or the call is over
  Restart,       // -512, -513, -514
  RestartBlock,  // -516
  NotIssued,     // in the entry stop: the kernel has not begun
};

Interruption interruption_of(const user_regs_struct& registers, Tracee::At at);

// Ended with -EINTR only because of the stop, provided that no signal is about to be handled.
bool ended_by_stop(const user_regs_struct& registers);

// rip at the call's instruction, rax its number, out of the call.
user_regs_struct rewound(const user_regs_struct& registers);

// The number of the call that a thread in restart_syscall was making. The kernel has forgotten it; only nanosleep,
// clock_nanosleep, poll and futex come to be there.
long original_call(const user_regs_struct& registers, const ProcessMemory& memory);

// What is needed to foresee how the kernel will end an interrupted call.
struct WaitingSignal {
  bool any = false;      // a signal that is not blocked and has a handler is waiting
  bool restart = false;  // its handler has SA_RESTART
};
WaitingSignal waiting_signal(const std::vector<siginfo_t>& queued, std::uint64_t mask, std::uint64_t caught,
                             const wire::RuntimeState& state);

// The context in user mode that is equal to `registers`, for a thread that will not come back through the kernel's exit
// from the interrupted call.
user_regs_struct outside_call(const user_regs_struct& registers, Interruption interruption, WaitingSignal waiting);

// If rip is inside the rseq critical section that the thread announced, rip becomes its abort address. The kernel would
// do so at the next preemption; it no longer can once rip has been changed (docs/kernel-facts.md, "rseq").
Status leave_rseq_section(const ptrace::RseqConfiguration& rseq, const ProcessMemory& memory,
                          user_regs_struct& registers);

}  // namespace stasis::tracer
