// The machine code of call sites that may be rewritten (sites.h): what the bytes are and what they cannot be.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

inline constexpr u32 kLookBehind = 5;  // bytes in front of a site that tell what it is not

// Whether the bytes at `site`, in front of a system call that was just made with `number`, can only be `mov $number, %eax`.
// kLookBehind bytes in front of it are read as well.
bool is_plain_site(const u8* site, u64 number);

// One instruction may stand between that and `syscall`: what compilers put there to load an argument.

inline constexpr u32 kMostMovedBytes = 8;

// The length of the instruction at `code`, if it is one of these and leaves rax alone; else 0:
//     lea, mov from memory    64-bit, base register and displacement, no index; or relative to rip
//     mov, movslq             between registers
//     mov                     of a 32-bit constant
//     xor                     of a 32-bit register with itself
u32 movable_instruction(const u8* code);

// Copies it, `bytes` long, from `from` to `to`; where it is relative to rip, the displacement is changed. False if that is
// out of reach. `to_address` is where the copy will run.
bool move_instruction(const u8* from, u32 bytes, u8* to, u64 to_address);

}  // namespace stasis::runtime
