// Running system calls inside a stopped thread, safely against the death of the tracer.
//
// The tracer writes a block and a complete rt_sigreturn frame holding the thread's own context into the window, points the thread at
// Descriptor::parasite_entry and lets it run under PTRACE_SYSCALL. The runtime executes the commands, then always ends in rt_sigreturn
// on the frame. If the tracer is killed at any instant, the kernel detaches, the thread runs on through the list and comes back to where
// it was stopped. From the entry stop of the rt_sigreturn the tracer takes the thread to its own context, or to the entry of the call
// that the stop had interrupted, and holds it there for as long as it needs (tracer/parasite.h).
//
// Order that makes this hold: frame and block first, then PTRACE_SETREGS, then PTRACE_SETSIGMASK (all blocked), then run.
#pragma once

#include "wire/types.h"

namespace stasis::wire {

inline constexpr u32 kParasiteMaxCommands = 24;

struct ParasiteCommand {
  i64 number;
  u64 arguments[6];
  i64 result;  // -errno on failure, as the kernel returns it
};

struct ParasiteBlock {
  u64 frame;  // address of the ucontext inside an rt_sigreturn frame (rsp at the rt_sigreturn call)
  u32 count;
  u32 done;  // commands completed
  ParasiteCommand commands[kParasiteMaxCommands];
  u8 data[1024];  // for results of commands (stack_t, itimerval, a tid address)
};

}  // namespace stasis::wire
