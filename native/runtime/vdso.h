// Two vdsos: the kernel's, moved into the runtime's window, and the runtime's own page at kOwnVdsoAddress (vdso.S), which is the one
// programs see. Its functions call the host's and add the clock offsets.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

// Moves the kernel's [vvar], [vvar_vclock] and [vdso] mappings to kHostVdsoHome, each as a whole and at the same distances, and
// resolves the functions the own vdso calls. `sysinfo_ehdr` is the kernel's AT_SYSINFO_EHDR; 0 (no vdso) makes the functions use
// system calls. 0, or -errno when the mappings could not be moved; they are then used where they are, if they are still whole.
i64 move_host_vdso(u64 sysinfo_ehdr);

}  // namespace stasis::runtime
