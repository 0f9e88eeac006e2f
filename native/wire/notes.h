// Notes of a process's runtime: what the program has asked the kernel for and the kernel does not tell again. They lie in the window,
// written by handlers of trapped calls as they see the calls succeed, and are read by a checkpoint. A forked child has its parent's, a
// restore lays them down anew, an exec begins without.
//
// A row of notes, each a multiple of 8 bytes; RuntimeState::notes_used is the end of the last. A note that is not finished, or does not
// count any more, has kind Void.
#pragma once

#include "wire/layout.h"
#include "wire/types.h"

namespace stasis::wire {

enum class NoteKind : u32 {
  Void = 0,
  Filter = 1,  // seccomp filter: key = flags of seccomp(2); then struct sock_filter[]
  Object = 2,  // key = id << 8 | kind of object (NotedObject): semget(2), msgget(2), shmget(2)
  Undo = 3,    // key = id << 32 | number of the semaphore; then an i64: what the process has to add at its end
  Made = 5,    // key as of Object: the object was not there before the program asked for it
  Keys = 6,    // the program has used keys of the kernel's keyrings
  Watch = 4,   // key = hash of the path; then the path that inotify_add_watch(2) was called with, absolute, and a NUL
};

enum class NotedObject : u64 { SharedMemory = 1, Semaphore, MessageQueue };

struct Note {
  NoteKind kind;  // stored last
  u32 bytes;      // of all of it
  u64 key;
};

struct UndoNote {
  Note note;
  i64 adjustment;
};

}  // namespace stasis::wire
