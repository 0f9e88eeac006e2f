// Files of procfs whose text holds resource ids.
#pragma once

#include "runtime/proc_path.h"
#include "runtime/scratch.h"
#include "wire/types.h"

namespace stasis::runtime {

// `fd` is a file at `place`, just opened for reading only. If its text holds ids that the program knows by other
// numbers, the descriptor is made to stand for a copy of the text with those: a memory file, taken now and not renewed
// by reading again. `own_mask` are the signals that the program has blocked in the calling thread; the kernel's text has
// the handler's. Runs on the scratch stack. 0, or -errno; the descriptor stays open.
i64 translate_text(Scratch* scratch, i32 fd, ProcPlace place, bool close_on_exec, u64 own_mask);

}  // namespace stasis::runtime
