// Two vdsos: the kernel's, moved into the runtime's window, and the runtime's own page at kOwnVdsoAddress
// (vdso_page.S), which is the one programs see. Its functions (own_vdso.cc) call the host's and add the clock offsets.
#pragma once

#include "runtime/clock.h"
#include "wire/layout.h"
#include "wire/types.h"

namespace stasis::runtime {

// Functions of the host's vdso; null where it has none.
struct HostVdso {
  i32 (*clock_gettime)(i32, Timespec*);
  i32 (*gettimeofday)(void*, void*);
  i64 (*time)(i64*);
  i32 (*getcpu)(u32*, u32*, void*);
  i32 (*clock_getres)(i32, Timespec*);
};
extern HostVdso g_host_vdso;

// Where the kernel's mappings lie from each other and the functions in the vdso: the same in every process of a kernel, so
// each process tells it to what it executes (marker.h), as looking costs 30 us.
struct VdsoLayout {
  static constexpr u32 kMostParts = 4;
  static constexpr u32 kFunctions = 5;

  u32 count;                // of mappings side by side, the vdso the last; 0: not known
  u32 pages[kMostParts];    // length of each
  u32 entries[kFunctions];  // offsets from the vdso's start, in the order of HostVdso; 0: there is none

  u64 bytes() const {
    u64 all = 0;
    for (u32 i = 0; i < count; i++) all += pages[i] * wire::kPageBytes;
    return all;
  }
  u64 vdso_bytes() const { return pages[count - 1] * wire::kPageBytes; }
};
extern VdsoLayout g_vdso_layout;  // of this process; known once the vdso has been moved

// Moves the kernel's [vvar], [vvar_vclock] and [vdso] mappings to kHostVdsoHome, each as a whole and at the same
// distances, and resolves the functions the own vdso calls. `sysinfo_ehdr` is the kernel's AT_SYSINFO_EHDR; 0 (no vdso)
// makes the functions use system calls. 0, or -errno when the mappings could not be moved; where the kernel seals them
// (-EPERM) they stay in use where they are, and after any other failure the functions use system calls.
i64 move_host_vdso(u64 sysinfo_ehdr, const VdsoLayout& known);

}  // namespace stasis::runtime
