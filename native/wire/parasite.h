// Running system calls inside a stopped thread, safely against the death of the tracer.
//
// The tracer writes a block, a list of commands and a complete rt_sigreturn frame holding the thread's own context into the window, points
// the thread at Descriptor::parasite_entry and lets it run under PTRACE_SYSCALL. The runtime executes the commands, then always ends in
// rt_sigreturn on the frame. If the tracer is killed at any instant, the kernel detaches, the thread runs on through the list and comes
// back to where it was stopped. From the entry stop of the rt_sigreturn the tracer takes the thread to its own context, or to the entry of
// the call that the stop had interrupted, and holds it there for as long as it needs (tracer/parasite.h).
//
// Order that makes this hold: frame, list and block first, then PTRACE_SETREGS, then PTRACE_SETSIGMASK (all blocked), then run.
//
// One command is no system call but a small program, kParasiteFork: it makes a copy of the process that holds its memory still
// (tracer/holder.h). arguments[0] is the address of arguments[1] ParasiteRows, memory that the kernel would leave out of a copy.
//
//   thread   clone(CLONE_VM | CLONE_VFORK | CLONE_FILES) ------------------------ wait4(step)  -> result: 0, or -errno
//   step       close_range(UNSHARE), madvise(DOFORK) rows, fork ---, madvise(DONTFORK) rows, exit
//   copy                                                           '-- exit_group          -> arguments[5]: its pid, or -errno
//
// Under a tracer step and copy are traced from their first instruction, and the copy is never sent on. Without one the copy ends at once,
// and the rows are what they were.
#pragma once

#include "wire/types.h"

namespace stasis::wire {

inline constexpr i64 kParasiteFork = -2;

struct ParasiteCommand {
  i64 number;
  u64 arguments[6];
  i64 result;  // -errno on failure, as the kernel returns it
};

struct ParasiteRow {
  u64 address, bytes;
};

struct ParasiteBlock {
  u64 frame;     // address of the ucontext inside an rt_sigreturn frame (rsp at the rt_sigreturn call)
  u64 commands;  // address of ParasiteCommand[count]
  u32 count;
  u32 done;  // commands completed
};

}  // namespace stasis::wire
