// /proc/self/exe names the runtime to the kernel; to the program it is the program's file.
#pragma once

namespace stasis::runtime {

// True if `path` is one of the names of the calling process' own exe link: /proc/self/exe, /proc/thread-self/exe,
// /proc/PID/exe.
bool is_own_exe_link(const char* path);

}  // namespace stasis::runtime
