// The way into a program's handler: what the signal interrupted becomes the program's own context, wherever the thread
// really was, and the ids in the siginfo are translated.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "wire/types.h"

namespace stasis::runtime {

// For a SIGSYS that is the program's, from its own frame: the frame to enter the handler with. Signals are blocked.
u64 prepare_handler(u32 signal, arch::KernelUcontext* context, u64 frame_address);

// For a signal that the program ignores but that has ended its blocking call with EINTR: the call is made again, from its
// beginning.
void go_on_waiting(arch::KernelUcontext* interrupted);

}  // namespace stasis::runtime
