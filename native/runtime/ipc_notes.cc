// What a checkpoint must know of SysV ipc and the kernel does not tell: which objects the program has asked for, and what each
// process has to undo at its end (SEM_UNDO, semop(2)), which the kernel keeps to itself. Trapped in every application.
//
// Numbers in notes are those that the program knows.
#include "runtime/ipc_notes.h"

#include <linux/ipc.h>
#include <linux/sem.h>

#include "runtime/notes.h"
#include "runtime/program_memory.h"
#include "runtime/state.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

using wire::NotedObject;
using wire::NoteKind;

void note_undo(u32 id, u32 number, i64 adjustment) {
  const u64 key = static_cast<u64>(id) << 32 | number;
  if (auto* found = find_note(NoteKind::Undo, key); found != nullptr) {
    __atomic_fetch_add(&reinterpret_cast<wire::UndoNote*>(found)->adjustment, adjustment, __ATOMIC_RELAXED);
    return;
  }
  // Two threads may both come here: a checkpoint adds up what they note.
  auto* note = begin_note(sizeof(wire::UndoNote) - sizeof(wire::Note));
  if (note == nullptr) return;
  reinterpret_cast<wire::UndoNote*>(note)->adjustment = adjustment;
  finish_note(note, NoteKind::Undo, key);
}

namespace {

void note_about(NoteKind about, NotedObject kind, i64 id) {
  const u64 key = static_cast<u64>(id) << 8 | static_cast<u64>(kind);
  if (id < 0 || !owns_memory() || find_note(about, key) != nullptr) return;
  if (auto* note = begin_note(0); note != nullptr) finish_note(note, about, key);
}

}  // namespace

void note_object(NotedObject kind, i64 id) { note_about(NoteKind::Object, kind, id); }
void note_made(NotedObject kind, i64 id) { note_about(NoteKind::Made, kind, id); }

// The kernel does not tell whether it has made an object or found one, unless it is asked to make one only.
i64 get_object(Trap& trap, bool* made) {
  u64& flags = trap.arguments[trap.number == __NR_msgget ? 1 : 2];
  const bool is_private = static_cast<i32>(trap.arguments[0]) == IPC_PRIVATE;
  const bool exclusively = (flags & IPC_CREAT) != 0 && (flags & IPC_EXCL) != 0;
  if ((flags & IPC_CREAT) != 0 && !exclusively && !is_private) {
    const u64 asked = flags;
    flags |= IPC_EXCL;
    const i64 result = issue_once(trap);
    flags = asked;
    *made = result >= 0;
    if (result != -EEXIST) return result;
  } else {
    *made = is_private || exclusively;
  }
  return issue_once(trap);
}

i64 complete_semaphores(const arch::KernelUcontext& program, i64 result) {
  if (result != 0 || !owns_memory()) return result;
  const auto id = static_cast<u32>(program.context.rdi);
  note_object(NotedObject::Semaphore, id);
  for (u64 i = 0; i < program.context.rdx; i++) {
    sembuf operation;
    if (read_program(&operation, program.context.rsi + i * sizeof operation, sizeof operation) < 0) break;
    if ((operation.sem_flg & SEM_UNDO) != 0 && operation.sem_op != 0)
      note_undo(id, operation.sem_num, -operation.sem_op);
  }
  return result;
}

i64 trapped_ipc_base(Trap& trap) {
  give_up_fast_call();  // what is counted is counted once
  switch (trap.number) {
    case __NR_semop:
    case __NR_semtimedop:
      return complete_semaphores(*trap.context, blocking_call(trap));
    case __NR_semget:
    case __NR_msgget:
    case __NR_shmget: {
      bool made;
      const i64 result = get_object(trap, &made);
      const NotedObject kind = trap.number == __NR_semget   ? NotedObject::Semaphore
                               : trap.number == __NR_msgget ? NotedObject::MessageQueue
                                                            : NotedObject::SharedMemory;
      note_object(kind, result);
      if (made) note_made(kind, result);
      return result;
    }
    default:
      return blocking_call(trap);
  }
}

void forget_undo_notes() {
  for (u64 at = 0; at < g_state.notes_used;) {
    auto* note = reinterpret_cast<wire::Note*>(wire::kNotesBase + at);
    if (note->bytes == 0) break;
    if (note->kind == NoteKind::Undo) note->kind = NoteKind::Void;
    at += note->bytes;
  }
}

}  // namespace stasis::runtime
