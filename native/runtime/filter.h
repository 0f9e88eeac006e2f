// The seccomp filter of a launched process, and the handler its traps end in.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

enum class FilterKind {
  Launch,    // first launch: what interposition always needs
  Restored,  // also clock calls and memory advice
};

// The low 16 bits of a trap's SECCOMP_RET_DATA, found in si_errno: tells our traps from those of a filter the program
// installed.
inline constexpr u32 kTrapData = 0x57a5;

// Sets no_new_privs and installs the filter for the calling thread. Single-threaded use. 0 or -errno.
i64 install_filter(FilterKind kind);

// Registers the SIGSYS handler with the kernel and unblocks SIGSYS in the calling thread. 0 or -errno.
i64 install_handler();

}  // namespace stasis::runtime
