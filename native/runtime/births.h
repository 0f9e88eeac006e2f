// Births of processes and threads: what others need of births.cc.
#pragma once

#include "arch/x86_64/sigframe.h"

namespace stasis::runtime {

// In a forked child: forgets the births that other threads of the parent were in.
void forget_births();

// For a signal that arrives just before a newly born thread (or a parent of one) jumps back into the program: makes the
// interrupted context the program's. Does nothing for a context from anywhere else.
void leave_birth(arch::KernelUcontext* interrupted);

}  // namespace stasis::runtime
