// Scratch memory for work that needs more than the 1 KiB that may be left of the program's stack. A slot belongs to one
// thread from acquire to release. Nobody waits for a slot: if all are taken, none is given.
//
// A thread can leave the runtime without releasing: by exec (its memory is gone, or its slot is cleared by the kernel,
// below), or by a signal that puts it back at its call site (release_scratch_of_thread does it then). A vfork child
// that execs or dies would leave its mark in the parent's memory; so it registers the mark's address with
// set_tid_address(2), and the kernel writes 0 there.
#pragma once

#include "runtime/state.h"
#include "wire/layout.h"
#include "wire/types.h"

namespace stasis::runtime {

inline constexpr u64 kScratchPointers = 8192;
inline constexpr u32 kMaxScriptDepth = 6;

// An exec packs its strings and its vector close together and to the top of the stack: in a forked child every page that is
// written here is a page copied.
inline constexpr u64 kScratchStackBytes = 3 * wire::kPageBytes + 2816;

struct Scratch {
  alignas(wire::kPageBytes) u8 stack[kScratchStackBytes];
  // What release gives back.
  u64 large_vector, large_vector_bytes;  // mapping for an argument vector that does not fit into the room
  i32 program_fd;                        // -1: none
  u64 previous_tid_address;              // of a vfork child
  bool borrowed;                         // taken by a vfork child
  // Each user divides the room as it likes.
  union {
    u8 room[3 * wire::kMaxExePath + kScratchPointers * 8];
    struct {
      char path[wire::kMaxExePath];
      char program[wire::kMaxExePath];
      char interpreter[wire::kMaxExePath];
      u64 pointers[kScratchPointers];
    };
  };
  char heads[kMaxScriptDepth][256];  // exec.cc: first bytes of each script; interpreter and argument point in here
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
