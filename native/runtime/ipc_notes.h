// SysV ipc in the notes (wire/notes.h).
#pragma once

#include "arch/x86_64/sigframe.h"
#include "runtime/trap.h"
#include "wire/notes.h"

namespace stasis::runtime {

// The program has the object, and has made it. `id` is as the program knows it; a negative one is nobody's.
void note_object(wire::NotedObject kind, i64 id);
void note_made(wire::NotedObject kind, i64 id);

// semget(2), msgget(2) or shmget(2) as the program has asked for it. `made` tells whether the object was not there before.
i64 get_object(Trap& trap, bool* made);

// The process has to undo so much at its end.
void note_undo(u32 id, u32 number, i64 adjustment);

// After semop(2) or semtimedop(2) with the program's registers `program`; gives `result` back.
i64 complete_semaphores(const arch::KernelUcontext& program, i64 result);

// What has to be undone is not a forked child's (CLONE_SYSVSEM aside).
void forget_undo_notes();

}  // namespace stasis::runtime
