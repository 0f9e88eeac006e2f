// Whether a thread of the program believes SIGSYS blocked. The kernel never has it blocked, since a trap would then end
// the process; the program sees in its masks what it has put there, and a SIGSYS that it is sent meanwhile is held until
// it takes it back. Where ids are translated only: elsewhere not all calls that change a mask trap.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

inline constexpr u32 kSignalInfoBytes = 128;

// Under which number the calling thread is known here: a system call, for those who ask more than once.
u32 sigsys_thread();

// Of the calling thread. What a thread that has ended leaves behind is cleared when its number is born again.
bool sigsys_blocked(u32 own_thread = sigsys_thread());
void set_sigsys_blocked(bool blocked, u32 own_thread = sigsys_thread());

// Keeps one SIGSYS for the calling thread; a further one is dropped, as signals below the real-time ones are.
void hold_sigsys(const void* info);

// Whether some thread's is kept.
bool sigsys_held();

// The one that was kept, if there is one. It is forgotten then.
bool take_held_sigsys(void* info);

}  // namespace stasis::runtime
