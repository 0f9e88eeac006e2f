// How a program gets the runtime: execve(runtime, [marker, program, argv...], envp). The marker is argv[0], text, of the form
//
//     \1stasis;key=value;key=value;...
//
// with decimal values (signed where said) but for `rt`, which is last and runs to the end of the string:
//
//     filter=1   first launch: install the seccomp filter, then exec the program through the runtime once more
//     restore=1  rebuild a process from the plan in fd `plan` instead of loading a program
//     plan=FD    sealed memfd holding wire::Plan (restore only)
//     socket=FD  or a socket over which that memfd comes (SCM_RIGHTS, one byte of data) once the plan is made; end-of-file
//                there means that the restore was given up
//     report=FD  memfd of one page holding wire::Report, mapped shared; closed before the program starts
//     done=FD    write end of a pipe; closed before the program starts, so that the keeper sees end-of-file
//     close=FD   an fd that stands for the program file itself (execveat with AT_EMPTY_PATH), closed after loading
//     name=N     argument N of the program, counted from 1, is what AT_EXECFN names (a script is not the file that is loaded)
//     mono=NS    signed: monotonic offset of a process that descends from a restored one
//     boot=NS    signed: boottime offset, likewise
//     clock=1    the inherited filter traps clock calls and memory advice (descends from a restored process)
//     ids=FD     memfd of the application's translation table (wire/ids.h); at first at any number, from then on at the one in
//                its header
//     parts=N    the parts of the filter that the application has beside the base (wire/parts.h)
//     vdso=N.N...  how the kernel's vdso is laid out, which an executing process has found out (runtime/marker.cc)
//     filters=N  how many filters the runtime has put on top of the application's (RuntimeState)
//     forgone=N  calls of the runtime's own that the program's filters refuse (runtime/own_filters.h)
//     rt=PATH    absolute path of the runtime's file
//
// argv has two entries in front of the program's own, an even number, so that the stack stays 16-byte aligned when they are dropped.
#pragma once

#include "wire/types.h"

namespace stasis::wire {

inline constexpr char kMarkerPrefix[] = "\1stasis;";
inline constexpr u32 kMarkerPrefixBytes = sizeof(kMarkerPrefix) - 1;
inline constexpr u32 kMarkerFieldsBytes = 384;  // all but the path
inline constexpr u32 kMarkerMaxBytes = 4096 + kMarkerFieldsBytes;

}  // namespace stasis::wire
