// Second halves of calls that may block (complete_call in ids.h): what the kernel has left in the result and in the
// program's memory is translated there. The program's registers still hold the arguments as it gave them.
//
// Rules: a completion runs in the handler of the call or on the stack of a signal's handler that interrupted the call's
// return, so frames stay small, nothing blocks and nothing is held; the program's memory is read and written with
// program_memory.h only, and what cannot be written there is left as it is, since the call has happened.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "wire/types.h"

namespace stasis::runtime {

i64 complete_wait(const arch::KernelUcontext& program, i64 result);          // ids_wait.cc: wait4, waitid
i64 complete_sigtimedwait(const arch::KernelUcontext& program, i64 result);  // ids_signal.cc

i64 complete_signalfd_read(const arch::KernelUcontext& program, i64 result);  // ids_signalfd.cc: read, readv, preadv2

// Translates the siginfo_t at `address` of the program in place.
void translate_program_info(u64 address);  // ids_signal.cc

i64 complete_message(const arch::KernelUcontext& program, i64 result);  // ids_socket.cc: sendmmsg, recvmsg, recvmmsg
i64 complete_futex(const arch::KernelUcontext& program, i64 result);    // ids_futex.cc

// Completions may give these in place of a result, as the kernel does between its own functions (ERESTARTNOINTR,
// ERESTARTSYS): the program makes the call again, always or if the handler was set with SA_RESTART, else gets -EINTR.
inline constexpr i64 kStartAgain = -513, kStartAgainIfAsked = -512;

}  // namespace stasis::runtime
