// The runtime's window in every launched process: one fixed range of 128 MiB that nothing else uses, from a program's birth to its
// last restore: 64 MiB of the runtime, and the application's translation table behind it. Shared by host code (which skips the window when it saves memory) and by the freestanding runtime.
//
// 0x7e9000000000 was found free under glibc, musl, Go, Java, Node and ASan; 0x600000000000 is taken by ASan and TSan, and V8 places
// heap pages at random over 46 bits, so the window must be small (docs/kernel-facts.md, "addresses").
//
//     +0x0000000  runtime image: headers, text, own vdso page, data, bss                         16 MiB
//     +0x1000000  restore plan, mapped private and writable while a process is rebuilt            32 MiB
//     +0x3000000  image-range table and its bitmap (which pages still come from an image)          8 MiB
//     +0x3800000  the host kernel's vvar and vdso, moved here at every exec and restore          512 KiB
//     +0x3880000  notes of what the kernel does not tell again (wire/notes.h)                    512 KiB
//     +0x3900000  parasite arena: frames and command lists of a checkpoint in progress             7 MiB
//     +0x4000000  translation table, shared by all processes of the application (wire/ids.h)      64 MiB
//
// Nothing in the window is saved: what a restored program needs of the runtime's state is rebuilt from records.
#pragma once

#include "wire/types.h"

namespace stasis::wire {

inline constexpr u64 kPageBytes = 4096;

inline constexpr u64 kWindowBase = 0x7e90'0000'0000;
inline constexpr u64 kWindowBytes = 0x800'0000;
inline constexpr u64 kWindowEnd = kWindowBase + kWindowBytes;

inline constexpr u64 kPlanBase = kWindowBase + 0x100'0000;
inline constexpr u64 kPlanMaxBytes = 0x200'0000;
inline constexpr u64 kImageTableBase = kWindowBase + 0x300'0000;
inline constexpr u64 kImageTableMaxBytes = 0x80'0000;
inline constexpr u64 kHostVdsoHome = kWindowBase + 0x380'0000;
inline constexpr u64 kHostVdsoMaxBytes = 0x8'0000;
inline constexpr u64 kNotesBase = kWindowBase + 0x388'0000;
inline constexpr u64 kNotesMaxBytes = 0x8'0000;
inline constexpr u64 kParasiteArenaBase = kWindowBase + 0x390'0000;
inline constexpr u64 kParasiteArenaMaxBytes = 0x70'0000;

inline constexpr u64 kIdTableBase = kWindowBase + 0x400'0000;
inline constexpr u64 kIdTableBytes = 0x400'0000;

// Where the runtime's descriptor lies: the first thing behind the ELF headers, so a tracer finds it without symbols.
inline constexpr u64 kDescriptorAddress = kWindowBase + 0x400;

// The runtime's own vdso, what AT_SYSINFO_EHDR names. Programs cache addresses inside this page (glibc keeps function pointers), so
// the page's address and the offsets of its entry points are ABI between runtime versions: see runtime/vdso_page.S.
inline constexpr u64 kOwnVdsoAddress = kWindowBase + 0x1000;

inline constexpr u64 kUserTop = 0x7fff'ffff'f000;

}  // namespace stasis::wire
