// What the runtime of one process knows. Three places with different fates at fork(2):
//   g_state      the part that a checkpoint reads (wire/descriptor.h); copied by fork, shared with a vfork child
//   g_private    the rest of it, likewise
//   g_process    marks of who owns what; started afresh in a forked child, which is why fork and clone without CLONE_VM
//   are trapped
//
// A vfork child shares all memory with its parent, but has its own pid and its own table of signal actions in the
// kernel. Rule: such a child never writes g_state (owns_memory() tells), takes no lock, and what it marks in g_process
// the kernel clears when it execs or ends (scratch.cc).
#pragma once

#include "wire/descriptor.h"
#include "wire/launch.h"
#include "wire/layout.h"
#include "wire/types.h"

namespace stasis::runtime {

// What every process writes at its start lies together (runtime.ld), since each page costs an exec 2 us: the small first,
// then g_state, whose paths reach over two pages more and are written at their beginnings.
#define STASIS_HOT __attribute__((section(".bss.hot")))
#define STASIS_HOT_LAST __attribute__((section(".bss.hot_last")))

extern wire::RuntimeState g_state;

struct PrivateState {
  u32 parts;        // of the filter (filter.h): this application's, and so its descendants'
  u32 ids;          // 1: a translation table is mapped (ids.h)
  u64 interpreter;  // hash of the name of the loader that this process was loaded with, 0: none
  u32 forgone;      // calls of the runtime's own that a filter refuses (own_filters.h)
};
extern PrivateState g_private;

inline constexpr u32 kScratchSlots = 12;

struct ProcessMarks {
  u32 owner_pid;
  u32 action_locks[wire::kSignalCount];  // 1 while a thread changes that signal's action
  u32 scratch_owner[kScratchSlots];      // tid of the thread that uses the slot
  u64 wished_site;                       // a call site that a vfork child would have rewritten (sites.cc)
  u32 sites_lock;                        // 1 while a thread rewrites a call site (sites.cc)
  u32 borrowers;                         // children that share this memory and may be alive (births.cc)
  u32 virtual_pid;                       // of the owner, 0: not asked yet (ids.cc)
  u32 births_used;                       // upper bound of the births that were ever in use (births.cc)
};
extern ProcessMarks g_process;

// Makes the caller the owner of g_process, which nobody has used yet.
void start_process();

// In the child of every fork, while it has one thread: clears g_process first.
void start_forked_process();

// True in the process that owns this memory, false in a child that borrows it (vfork, CLONE_VM).
bool owns_memory();

}  // namespace stasis::runtime
