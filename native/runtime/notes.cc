// The notes' memory is part of the window's reservation until it is wanted, and is then made writable, which may be done twice
// without harm. Room is taken by one addition; what a thread takes it fills and then shows by one store, so nobody waits.
#include "runtime/notes.h"

#include <linux/mman.h>

#include "runtime/state.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::Note;
using wire::NoteKind;

u64 used() { return __atomic_load_n(&g_state.notes_used, __ATOMIC_ACQUIRE); }

}  // namespace

Note* begin_note(u64 bytes) {
  const u64 total = (sizeof(Note) + bytes + 7) & ~7UL;
  if (total > wire::kNotesMaxBytes) return nullptr;
  if (raw_syscall(__NR_mprotect, wire::kNotesBase, wire::kNotesMaxBytes, PROT_READ | PROT_WRITE) != 0) return nullptr;
  u64 at = used();
  do {
    if (at > wire::kNotesMaxBytes - total) return nullptr;
  } while (
      !__atomic_compare_exchange_n(&g_state.notes_used, &at, at + total, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  auto* note = reinterpret_cast<Note*>(wire::kNotesBase + at);
  __atomic_store_n(&note->bytes, static_cast<u32>(total), __ATOMIC_RELEASE);
  return note;
}

void finish_note(Note* note, NoteKind kind, u64 key) {
  note->key = key;
  __atomic_store_n(&note->kind, kind, __ATOMIC_RELEASE);
}

Note* find_note(NoteKind kind, u64 key) {
  const u64 end = used();
  for (u64 at = 0; at < end;) {
    auto* note = reinterpret_cast<Note*>(wire::kNotesBase + at);
    if (__atomic_load_n(&note->kind, __ATOMIC_ACQUIRE) == kind && note->key == key) return note;
    const u64 bytes = __atomic_load_n(&note->bytes, __ATOMIC_ACQUIRE);
    if (bytes == 0) return nullptr;  // another thread is about to say how long it is
    at += bytes;
  }
  return nullptr;
}

}  // namespace stasis::runtime
