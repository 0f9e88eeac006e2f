// Scratch memory for work that needs more than the 1 KiB that may be left of the program's stack. A slot belongs to one
// thread from acquire to release. Nobody waits for a slot: if all are taken, none is given.
//
// A thread can leave the runtime without releasing: by exec (its memory is gone, or its slot is cleared by the kernel,
// below), or by a signal that puts it back at its call site (release_scratch_of_thread does it then). A vfork child
// that execs or dies would leave its mark in the parent's memory; so it registers the mark's address with
// set_tid_address(2), and the kernel writes 0 there.
#pragma once

#include "runtime/state.h"
#include "wire/types.h"

namespace stasis::runtime {

inline constexpr u64 kScratchPointers = 8192;
inline constexpr u32 kMaxScriptDepth = 6;

struct Scratch {
  alignas(16) u8 stack[12288];
  char path[wire::kMaxExePath];     // the program as given
  char program[wire::kMaxExePath];  // the file to load
  char marker[wire::kMarkerMaxBytes];
  char heads[kMaxScriptDepth][256];     // first bytes of each script; interpreter and argument point in here
  char interpreter[wire::kMaxExePath];  // PT_INTERP
  u64 pointers[kScratchPointers];       // argument vector for exec
  // What release gives back.
  u64 large_vector, large_vector_bytes;  // mapping for an argument vector that does not fit above
  i32 program_fd;                        // -1: none
  u64 previous_tid_address;              // of a vfork child
  bool borrowed;                         // taken by a vfork child
};

// A slot, or null when all are in use.
Scratch* acquire_scratch();
// The same, after letting others run for a while if need be.
Scratch* wait_for_scratch();
void release_scratch(Scratch* scratch);

// Releases whatever the calling thread holds.
void release_scratch_of_thread();

// Runs `function(argument)` on the slot's stack.
i64 run_on_scratch(Scratch* scratch, i64 (*function)(void*), void* argument);

}  // namespace stasis::runtime
