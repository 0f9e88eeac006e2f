// Rewriting of call sites: a system call instruction that has trapped a number of times gets a jump in front of it, which
// makes its call a fast one (fast_call.h) without a SIGSYS.
//
//     b8 NR NR NR NR   mov $nr, %eax           e9 ........   jmp stub
//     0f 05            syscall         -->     0f 05         syscall
//
// One instruction that loads an argument may stand between the two; the stub then does it (site_code.h).
//
// Only the first instruction is replaced. The `syscall` stays, and whoever comes to it, by a jump or because the fast
// call was given up, traps as before. So a site is an optimisation and nothing else: all may be rewritten, or none.
//
// A site is left alone unless it is certain what it is (is_plain_site), lies in a shared library's text that nobody
// writes to, and can be replaced by one store that other threads see whole or not at all. The main program's own text is
// never touched: code with small stacks of its own, as Go's, makes system calls there, and a fast call runs on the
// program's stack. Nothing is rewritten under a tracer, who may have breakpoints.
//
// A checkpoint finds sites and stubs in RuntimeState and keeps both out of images: a restored program starts with none.
#pragma once

#include "runtime/trap.h"

namespace stasis::runtime {

// Of a call that has trapped behind its instruction at `after`: counts it, and rewrites its site when it is time.
void note_trap(const Trap& trap, u64 after);

}  // namespace stasis::runtime
