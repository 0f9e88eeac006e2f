// What the two kinds of futexes share whose words hold a thread's id: robust mutexes (ids_futex.cc) and mutexes with
// priority inheritance (ids_futex_pi.cc). The words hold virtual ids, so the kernel cannot do what it does for such
// words.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "runtime/clock.h"
#include "runtime/trap.h"
#include "wire/types.h"

namespace stasis::runtime {

enum class FutexOwner { Alive, Ended, Unknown };

// About the thread that a word names. Unknown: no thread of the application ever had that number, so the word may be
// somebody else's, who shares the memory.
FutexOwner futex_owner(u32 virtual_tid);

// False if a write there would fault, by an operation of the kernel's that changes nothing.
bool is_futex_writable(u64 address);

u32 load_futex(u64 address);
bool exchange_futex(u64 address, u32* expected, u32 value);  // as compare-and-swap; `expected` gets what was there
void wake_futex(u64 address, u32 count, u32 private_flag);

// The word's address if it belongs to the robust mutex that this thread is about to take (set_robust_list(2),
// list_op_pending): what C libraries set before they lock one.
bool is_pending_robust(u64 address);

// Until when a wait goes on, by the host's clock.
struct FutexDeadline {
  bool timed;
  bool realtime;
  Timespec until;
};

inline constexpr i64 kSliceOver = 1;

// Waits for the word to change from `expected`, for 100 ms at most: nobody wakes those who wait for a thread that is
// gone. The call's result, or kSliceOver. May not return (trap.h, blocking_call).
i64 wait_slice(Trap& trap, u64 address, u32 expected, u32 private_flag, u32 bitset, const FutexDeadline& deadline);

// LOCK_PI and its relatives.
bool is_priority_operation(u64 operation);
i64 trapped_priority_futex(Trap& trap);
i64 complete_priority_futex(u64 operation, i64 result);

}  // namespace stasis::runtime
