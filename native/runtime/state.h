// What the runtime of one process knows. Three places with different fates at fork(2):
//   g_state        the part that a checkpoint reads (wire/descriptor.h); copied by fork, shared with a vfork child
//   g_private      the rest of it, likewise
//   g_process      one page that the kernel clears in a forked child (MADV_WIPEONFORK, 4.14) and that a vfork child shares:
//                  the owner's pid tells a vfork child (another pid there) from the process itself and from a forked child (0 there),
//                  and locks and ownership marks cannot be inherited in a state that nobody would ever undo
//
// Rule: a vfork child shares all memory with its parent but not the kernel's table of actions, so it never writes g_state.
#pragma once

#include "wire/descriptor.h"
#include "wire/launch.h"
#include "wire/layout.h"
#include "wire/types.h"

namespace stasis::runtime {

extern wire::RuntimeState g_state;

struct PrivateState {
  u32 restored_filter;  // 1: the filter traps clock calls and memory advice too (this process or an ancestor was restored)
  u32 reserved;
};
extern PrivateState g_private;

inline constexpr u32 kScratchSlots = 12;

struct ProcessPage {
  u32 owner_pid;                            // 0 until first asked after a fork
  u32 action_locks[wire::kSignalCount];     // 1 while a thread changes that signal's action
  u32 scratch_owner[kScratchSlots];         // tid of the thread that uses the slot; the kernel clears it when a vfork child execs
};
extern ProcessPage g_process;

// Makes g_process a page that fork wipes. Once per exec, before any other thread exists.
void start_process_page();

// True in the process that owns this memory, false in a child that borrows it (vfork, CLONE_VM).
bool owns_memory();

// Reads the build id note into the descriptor.
void fill_descriptor();

}  // namespace stasis::runtime
