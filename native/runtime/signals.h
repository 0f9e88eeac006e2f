// Actions of signals. The kernel never holds a program's handler itself but a thunk that belongs to that handler (one
// for each distinct handler, never changed or freed, so that a vfork child and its parent can both use it). The thunk
// is what keeps runtime frames from lying under a handler: see arch/x86_64/thunks.S.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "runtime/fast_call.h"
#include "wire/descriptor.h"
#include "wire/types.h"

namespace stasis::runtime {

inline constexpr u32 kThunkCount = 4096;
inline constexpr u32 kThunkBytes = 16;

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

// The second half of a fast rt_sigaction that asks: what the kernel has written is made what the program has set. May be
// repeated. The call's result.
i64 finish_action_query(FastCall* call);

// The second half of a fast rt_sigprocmask (masks.cc): SIGSYS is taken out of the mask that the kernel has set. May be
// repeated. `interrupted_mask`: where a signal has come between, the mask in its frame; else null. The call's result.
i64 finish_mask_change(FastCall* call, u64* interrupted_mask);

}  // namespace stasis::runtime
