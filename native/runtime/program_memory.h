// Reading and writing the program's memory for it. Addresses come from the program and may be anything: the kernel's
// copy functions check them (process_vm_readv(2) on the calling thread itself, which needs no permission), so a bad one
// gives -EFAULT.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

// All `bytes` or -EFAULT. 0 on success.
i64 read_program(void* to, u64 from, u64 bytes);
i64 write_program(u64 to, const void* from, u64 bytes);

// A NUL-terminated string with its NUL into `to`. Its length, or -EFAULT, or -ENAMETOOLONG if there is no NUL within
// `capacity`.
i64 read_program_string(char* to, u64 from, u64 capacity);

}  // namespace stasis::runtime
