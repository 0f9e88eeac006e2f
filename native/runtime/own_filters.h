// Calls that the runtime makes for its own sake and can do without.
//
// A seccomp filter that the program installs judges the runtime's calls as well, and one that lets pass only what the
// program knows it needs would end it for a call that it never made. So each filter is tried out on these calls before it
// is installed, and what it would not let pass is not called from then on (g_private.forgone).
#pragma once

#include <linux/filter.h>

#include "runtime/state.h"
#include "wire/types.h"

namespace stasis::runtime {

enum OwnCall : u32 {
  kOwnMemory = 1,       // process_vm_readv, process_vm_writev. Without: program memory is read and written directly
  kOwnThreadId = 2,     // gettid. Without: all threads count as one where only SIGSYS in masks is at stake
  kOwnProcessId = 4,    // getpid. Without: a child that borrows its parent's memory is not told from it
  kOwnProbe = 8,        // kill with signal 0. Without: what may exist does
  kOwnFiles = 16,       // openat, read, close. Without: an entry of the table is believed unseen
  kOwnRobustList = 32,  // get_robust_list. Without: only waiters find out that a robust mutex's owner has ended
  kOwnClock = 64,       // clock_gettime. Without: the kernel's vdso is asked
};

inline bool may_call(OwnCall call) { return (__atomic_load_n(&g_private.forgone, __ATOMIC_RELAXED) & call) == 0; }
inline void forgo(u32 calls) { __atomic_fetch_or(&g_private.forgone, calls, __ATOMIC_RELAXED); }

// A filter that the program had installed in the process that was saved, and is about to have here: what it forbids is forgone, and it is
// noted.
void adopt_own_filter(const sock_fprog& program, u32 flags);

}  // namespace stasis::runtime
