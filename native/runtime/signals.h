// Actions of signals. The kernel never holds a program's handler itself but a thunk that belongs to that handler (one
// for each distinct handler, never changed or freed, so that a vfork child and its parent can both use it). The thunk
// is what keeps runtime frames from lying under a handler: see arch/x86_64/thunks.S.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "wire/descriptor.h"
#include "wire/types.h"

namespace stasis::runtime {

inline constexpr u32 kSignalSys = 31;
inline constexpr u64 kSignalSysBit = 1UL << (kSignalSys - 1);

// Blocked while the runtime works: everything but SIGSYS and what the processor raises (ILL, TRAP, BUS, FPE, SEGV).
inline constexpr u64 kHandlerMask =
    ~(kSignalSysBit | 1UL << (4 - 1) | 1UL << (5 - 1) | 1UL << (7 - 1) | 1UL << (8 - 1) | 1UL << (11 - 1));

// What the trapped rt_sigaction does once its arguments have been read; also how a restore puts actions back. Registers
// a thunk, strips SIGSYS from the mask, records the program's view in g_state. `action` and `old` may be null and are
// the runtime's own memory. The program's action for SIGSYS itself is kept here and never reaches the kernel. 0 or
// -errno.
i64 set_action(u32 signal, const wire::KernelSigaction* action, wire::KernelSigaction* old);

// For a signal that the program ignores but that has ended its blocking call with EINTR: the call is made again, from its
// beginning.
void go_on_waiting(arch::KernelUcontext* interrupted);

}  // namespace stasis::runtime
