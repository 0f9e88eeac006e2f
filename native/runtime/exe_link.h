// /proc/self/exe names the runtime to the kernel; to the program it is the program's file.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

// The process whose exe link `path` names (/proc/self/exe, /proc/thread-self/exe, /proc/PID/exe), by system pid: 0 is the
// caller, -1 none.
i64 process_of_exe_link(const char* path);

// What the exe link of a process is to programs, into a buffer of wire::kMaxExePath bytes: 0 stands for the caller. False
// for a process that has no runtime, or none that may be looked at.
bool read_exe_path(u32 system_pid, char* path);

}  // namespace stasis::runtime
