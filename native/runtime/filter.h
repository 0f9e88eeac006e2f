// The seccomp filter of a launched process, and the handler its traps end in.
#pragma once

#include "wire/parts.h"
#include "wire/types.h"

namespace stasis::runtime {

using wire::kPartBase, wire::kPartIds, wire::kPartNet, wire::kPartRestored;

// The low 16 bits of a trap's SECCOMP_RET_DATA, found in si_errno: tells our traps from those of a filter the program
// installed.
inline constexpr u32 kTrapData = 0x57a5;

// Sets no_new_privs and installs the filter: with kPartRestored for every thread, else for the only one. Used by one at a
// time. `parked_fd` is the number of the table's descriptor, which the program must not see (kPartIds). 0 or -errno.
i64 install_filter(u32 parts, i32 parked_fd);

// Registers the SIGSYS handler with the kernel and unblocks SIGSYS in the calling thread. 0 or -errno.
i64 install_handler();

}  // namespace stasis::runtime
