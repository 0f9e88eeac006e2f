// Opening a program's file under the name that the kernel has for it.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

// Opens `path` for reading, close-on-exec. `real` (wire::kMaxExePath) receives the name that /proc/self/exe would show:
// absolute, without symbolic links. The descriptor or -errno.
i64 open_by_real_path(const char* path, char* real);

// The kernel's name of an open file, from /proc; left as it is if that cannot be read.
void read_real_path(i32 fd, char* real);

}  // namespace stasis::runtime
