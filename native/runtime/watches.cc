#include "runtime/watches.h"

#include "runtime/ids.h"
#include "runtime/notes.h"
#include "runtime/program_memory.h"
#include "runtime/scratch.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

struct Request {
  u64 path;  // in the program's memory
  Scratch* scratch;
};

i64 note_on_scratch(void* argument) {
  const auto* request = static_cast<const Request*>(argument);
  char* path = request->scratch->path;
  char* whole = request->scratch->program;
  if (read_program_string(path, request->path, wire::kMaxExePath) <= 0) return 0;
  if (*path == '/') {
    note_watch(path);
    return 0;
  }
  const i64 length = raw_syscall(__NR_getcwd, whole, wire::kMaxExePath);
  if (length <= 0 || *whole != '/') return 0;
  if (static_cast<u64>(length) + string_length(path) + 1 >= wire::kMaxExePath) return 0;
  write_text(write_text(whole + length - 1, "/"), path);
  note_watch(whole);
  return 0;
}

__attribute__((noinline)) void note_program_path(u64 path) {
  Request request{path, wait_for_scratch()};
  if (request.scratch == nullptr) return;
  run_on_scratch(request.scratch, note_on_scratch, &request);
  release_scratch(request.scratch);
}

}  // namespace

void note_watch(const char* path) {
  const u64 key = text_hash(path), bytes = string_length(path) + 1;
  if (find_note(wire::NoteKind::Watch, key) != nullptr) return;
  wire::Note* note = begin_note(bytes);
  if (note == nullptr) return;
  copy_string(reinterpret_cast<char*>(note + 1), bytes, path);
  finish_note(note, wire::NoteKind::Watch, key);
}

i64 trapped_add_watch(Trap& trap) {
  const i64 watch = ids_on() ? trapped_path_call(trap) : issue_once(trap);
  if (watch >= 0 && owns_memory()) note_program_path(trap.arguments[1]);
  return watch;
}

}  // namespace stasis::runtime
