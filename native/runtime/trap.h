// A trapped system call on its way through the runtime.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "wire/types.h"

extern "C" {
// Issues a call for the program in the blocking window: arch/x86_64/blocking.S.
stasis::i64 stasis_blocking_call(stasis::arch::KernelUcontext* context, stasis::i64 number,
                                 const stasis::u64* arguments);
extern const char stasis_blocking_begin[], stasis_blocking_site[], stasis_blocking_after[], stasis_blocking_end[];
}

namespace stasis::runtime {

struct Trap {
  arch::KernelUcontext*
      context;  // of the SIGSYS frame: what the program's thread was doing; edits take effect on return
  u64 number;
  u64 arguments[6];  // a copy, which handlers may change before they issue the call
};

// The call's result, as the kernel would give it. Runs on the SIGSYS frame's stack, which may have little more than 1
// KiB left (posix_spawn of musl, small alternate stacks): frames stay small, larger work goes to a scratch stack.
i64 dispatch(Trap& trap);

// Issues the call, with trap.arguments as they are now, where it can block and be interrupted. May not return: when a
// signal arrives, the thread is put back at the program's own call site (see stasis_prepare_handler). So the caller
// holds nothing that only it could give back.
inline i64 blocking_call(Trap& trap) {
  return stasis_blocking_call(trap.context, static_cast<i64>(trap.number), trap.arguments);
}

// Handlers by subject.
i64 trapped_sigaction(Trap& trap);    // signals.cc
i64 trapped_sigprocmask(Trap& trap);  // masks.cc
i64 trapped_masked_call(
    Trap& trap);  // masks.cc: rt_sigsuspend, ppoll, pselect6, epoll_pwait, epoll_pwait2, io_pgetevents
i64 trapped_sigreturn(Trap& trap);    // masks.cc; returns only if the frame cannot be used
i64 trapped_fork(Trap& trap);         // fork.cc
i64 trapped_exec(Trap& trap);         // exec.cc
i64 trapped_readlink(Trap& trap);     // exe_link.cc
i64 trapped_timed_call(Trap& trap);   // timed_calls.cc
i64 trapped_memory_call(Trap& trap);  // memory.cc
i64 trapped_reservation(Trap& trap);  // reservation.cc

}  // namespace stasis::runtime
