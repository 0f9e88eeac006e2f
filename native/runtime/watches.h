// inotify_add_watch(2) in every application: the kernel tells which inode a watch is for, but not the path that it was added by, which a
// restore needs. So the path is noted.
#pragma once

#include "runtime/trap.h"

namespace stasis::runtime {

i64 trapped_add_watch(Trap& trap);

// An absolute path that a watch was added for; said twice it counts once.
void note_watch(const char* path);

}  // namespace stasis::runtime
