// /proc/self/exe names the runtime to the kernel; to the program it is the program's file.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

// True if `path` is one of the names of the calling process' own exe link: /proc/self/exe, /proc/thread-self/exe,
// /proc/PID/exe.
bool is_own_exe_link(const char* path);

// What the exe link of a process is to programs, into a buffer of wire::kMaxExePath bytes: 0 stands for the caller. False
// for a process that has no runtime, or none that may be looked at.
bool read_exe_path(u32 system_pid, char* path);

}  // namespace stasis::runtime
