// Notes for a checkpoint (wire/notes.h). Only of a process that owns its memory: a vfork child's are its own affair.
#pragma once

#include "wire/notes.h"

namespace stasis::runtime {

// Room for a note whose contents take `bytes`, not counted yet; nullptr if there is none.
wire::Note* begin_note(u64 bytes);
// Makes it count.
void finish_note(wire::Note* note, wire::NoteKind kind, u64 key);

// The note of this kind and key, or nullptr.
wire::Note* find_note(wire::NoteKind kind, u64 key);

}  // namespace stasis::runtime
