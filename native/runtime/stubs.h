// Stubs: what rewritten call sites jump to (sites.h). Each loads where its call goes back to and the call's number and jumps
// to the entry of fast calls.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "runtime/mapping_query.h"
#include "wire/types.h"

namespace stasis::runtime {

inline constexpr u64 kSyscallBytes = 2;

struct Site {
  u64 address;      // of the mov
  u64 after;        // behind the system call
  u32 moved_bytes;  // between the two
};

// Writes into private pages that may be read and executed only, in no order that other threads could rely on. False where the
// kernel does not allow that (since 6.12 it may be told not to).
bool write_text(u64 address, const void* bytes, u64 count);

// A stub for the site, in reach of a 32-bit jump from there, or 0. By one thread at a time. `mapping` is the one that the
// site is in.
u64 make_stub(const MappingInfo& mapping, const Site& site, u64 number);

// If the interrupted context is in a stub, makes it that of the program in front of its system call, and answers true.
bool leave_stub(arch::KernelSigcontext* context);

// Whether the address is in a stub.
bool in_stub_area(u64 address);

}  // namespace stasis::runtime
