// execve(2) and execveat(2): the kernel executes the runtime, which then loads the program (see exec.h, wire/launch.h).
//
//   1. take a scratch slot; everything from here runs on its stack, since a vfork child may have 1 KiB left
//   2. path -> file, permission; argument vector; `#!` lines; ELF header and PT_INTERP: all errors come back here, as
//   the kernel's would
//   3. execve(runtime, [marker, program, arguments...], environment) in the blocking window: the program's own mask is
//   what the next
//      program inherits, and a signal that comes first puts the thread back at its call
//   4. if that fails too, give everything back and return the error
#include "runtime/exec.h"

#include <linux/fcntl.h>
#include <linux/mman.h>

#include "runtime/exe_link.h"
#include "runtime/filter.h"
#include "runtime/ids.h"
#include "runtime/ids_park.h"
#include "runtime/proc_path.h"
#include "runtime/program_file.h"
#include "runtime/program_memory.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"
#include "runtime/vdso.h"

namespace stasis::runtime {

namespace {

constexpr u32 kFrontPointers = 20;        // marker, program, and three for each level of `#!`
constexpr u64 kMaxVectorBytes = 6 << 20;  // three quarters of the default stack limit, the kernel's bound for arguments
constexpr u32 kMaxLevels = 5;             // fs/exec.c: interpreters of interpreters
constexpr u64 kExecveCheck = 0x10000;     // AT_EXECVE_CHECK (6.14)

// The argument vector under construction: entries [first, last) of a pointer array with room in front.
struct Vector {
  u64* entries;
  u64 first, last;
};

char* free_room(const ExecRequest& request) { return reinterpret_cast<char*>(request.scratch->room) + request.used; }

// The text at the beginning of the free room is to stay.
char* keep_text(ExecRequest* request) {
  char* text = free_room(*request);
  request->used += string_length(text) + 1;
  return text;
}

// Copies the program's vector behind the front room. The strings stay where they are.
i64 copy_vector(ExecRequest* request, Vector* vector) {
  Scratch* scratch = request->scratch;
  u64 address = request->arguments;
  request->used = (request->used + 7) & ~7UL;
  u64 capacity = (sizeof scratch->room - wire::kMaxExePath - request->used) / 8;  // the end is examine()'s
  *vector = {reinterpret_cast<u64*>(free_room(*request)), kFrontPointers, kFrontPointers};
  while (address != 0) {
    u64 chunk[32];
    u64 space = wire::kPageBytes - (address & (wire::kPageBytes - 1));
    u64 count = space >= sizeof chunk ? 32 : space >= 8 ? space / 8 : 1;
    if (read_program(chunk, address, count * 8) < 0) return -EFAULT;
    for (u64 i = 0; i < count; i++) {
      if (chunk[i] == 0) return 0;
      if (vector->last + 2 == capacity) {
        u64 bytes = capacity * 16;
        if (bytes > 2 * kMaxVectorBytes) return -E2BIG;
        i64 larger = raw_syscall(__NR_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (is_error(larger)) return larger;
        memcpy(reinterpret_cast<void*>(larger), vector->entries, vector->last * 8);
        if (scratch->large_vector != 0) raw_syscall(__NR_munmap, scratch->large_vector, scratch->large_vector_bytes);
        scratch->large_vector = static_cast<u64>(larger);
        scratch->large_vector_bytes = bytes;
        vector->entries = reinterpret_cast<u64*>(larger);
        capacity *= 2;
      }
      vector->entries[vector->last++] = chunk[i];
    }
    address += count * 8;
  }
  return 0;
}

void push_front(Vector* vector, const char* text) { vector->entries[--vector->first] = reinterpret_cast<u64>(text); }

// Gives a program named by fd the name that the kernel gives it (/dev/fd/N or /dev/fd/N/PATH), with an fd of ours to load
// from that stays open over the exec.
i64 name_by_fd(ExecRequest* request, const FileName& name) {
  Scratch* scratch = request->scratch;
  i64 fd;
  if (name.path[0] == 0) {
    char link[40];
    write_decimal(write_text(link, "/proc/thread-self/fd/"), static_cast<u64>(name.directory));
    fd = raw_syscall(__NR_openat, AT_FDCWD, link, O_RDONLY,
                     0);  // a description of its own, readable also where fd is O_PATH
    if (fd < 0) fd = raw_syscall(__NR_dup, name.directory);
  } else {
    u64 no_follow = (name.flags & AT_SYMLINK_NOFOLLOW) != 0 ? O_NOFOLLOW : 0;
    fd = raw_syscall(__NR_openat, name.directory, name.path, O_RDONLY | no_follow, 0);
  }
  if (fd < 0) return fd;
  scratch->program_fd = static_cast<i32>(fd);
  char* end = write_decimal(write_text(free_room(*request), "/dev/fd/"), static_cast<u64>(name.directory));
  if (name.path[0] != 0) copy_string(write_text(end, "/"), wire::kMaxExePath, name.path);
  request->name = keep_text(request);
  request->program = request->name;
  return 0;
}

// The descriptor that such a path names may be closed by the exec, though not its file.
bool names_fd(const char* path) { return starts_with(path, "/proc/self/fd/") || starts_with(path, "/dev/fd/"); }

i64 keep_open(ExecRequest* request) {
  const i64 fd = raw_syscall(__NR_openat, AT_FDCWD, request->program, O_RDONLY | O_NONBLOCK, 0);
  if (fd >= 0) request->scratch->program_fd = static_cast<i32>(fd);
  return fd < 0 ? fd : 0;
}

// The path with system pids where it leads through /proc, or the file behind another process' exe link; in the free room.
// `path` itself if there is nothing to translate, null for a process that the application does not know.
const char* translated_path(const ExecRequest& request, const char* path) {
  const ProcPosition from = path[0] == '/' ? ProcPosition{ProcPlace::Mount, 0, 0} : position_of(request.directory);
  char* translated = free_room(request);
  ProcWalk walk;
  const i64 result = walk_virtual(path, from, translated, wire::kMaxExePath, &walk);
  if (result == -ENOENT) return nullptr;
  if (result == 0 && walk.at.place == ProcPlace::ExeLink && read_exe_path(walk.at.process, translated))
    return translated;
  return result == 0 && walk.changed ? translated : path;
}

// Finds the file: request->name is what the program is called, request->program the path to load, scratch->program_fd
// the file if it has to be loaded from an fd.
i64 resolve_path(ExecRequest* request) {
  char* path = free_room(*request);
  i64 length = read_program_string(path, request->path, wire::kMaxExePath);
  if (length < 0) return length;
  if (length == 0 && (request->flags & AT_EMPTY_PATH) == 0) return -ENOENT;
  if ((request->flags & ~static_cast<u64>(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return -EINVAL;
  request->name = keep_text(request);
  request->program = path;
  if (const i64 process = process_of_exe_link(path);
      process >= 0 && read_exe_path(static_cast<u32>(process), free_room(*request))) {
    request->program = keep_text(request);
    return check_permission({AT_FDCWD, request->program, 0});
  }
  if (length > 0 && ids_on()) request->program = translated_path(*request, path);
  if (request->program == nullptr) return -ENOENT;
  if (request->program == free_room(*request)) keep_text(request);
  FileName name{request->directory, request->program, request->flags};
  if (length > 0) name.flags &= ~static_cast<u64>(AT_EMPTY_PATH);
  if (length == 0 && request->directory == AT_FDCWD) return -EACCES;  // the working directory itself
  i64 result = check_permission(name);
  if (result < 0) return result;
  if (request->directory != AT_FDCWD && request->program[0] != '/') return name_by_fd(request, name);
  return names_fd(request->program) ? keep_open(request) : 0;
}

// True if the file that a script's interpreter would open by /dev/fd/N is closed by the exec.
bool closes_on_exec(const ExecRequest& request) {
  if (request.scratch->program_fd < 0) return false;
  i64 flags = raw_syscall(__NR_fcntl, request.directory, F_GETFD, 0);
  return flags >= 0 && (flags & FD_CLOEXEC) != 0;
}

i64 read_program_head(const ExecRequest& request, FileHead* head) {
  const i32 own = request.scratch->program_fd;
  return own >= 0 ? read_head(own, head) : open_permitted(request.program, head);
}

void close_program(const Scratch& scratch, const FileHead& head) {
  if (head.fd != scratch.program_fd) raw_syscall(__NR_close, head.fd);
}

// A keeper that runs inside an application (`stasis run` typed there) executes a runtime with a marker of its own. That
// cannot be loaded as a program, since the window is taken, and need not be.
bool starts_runtime(const ExecRequest& request, const FileHead& head, const Vector& vector) {
  char start[16] = {};
  return request.scratch->program_fd < 0 && is_runtime(head) &&
         read_program(start, vector.entries[vector.first], wire::kMarkerPrefixBytes) == 0 && is_marker(start);
}

// The script's interpreter and its argument in front of the vector, whose first entry gives way to the script's name.
i64 follow_script(ExecRequest* request, u32 level, char* text, Vector* vector) {
  Scratch* scratch = request->scratch;
  ScriptLine line;
  i64 result = parse_script(text, &line);
  if (result < 0) return result;
  if (level == 0 && closes_on_exec(*request)) return -ENOENT;
  const char* script = level == 0 ? request->name : reinterpret_cast<const char*>(vector->entries[vector->first]);
  vector->first++;
  push_front(vector, script);
  if (line.argument != nullptr) push_front(vector, line.argument);
  push_front(vector, line.interpreter);
  request->program = line.interpreter;
  if (scratch->program_fd >= 0) raw_syscall(__NR_close, scratch->program_fd);
  scratch->program_fd = -1;
  if (request->program[0] == 0) return -EACCES;  // to open_exec() the empty name is the working directory
  result = check_permission({AT_FDCWD, request->program, 0});
  return result < 0 ? result : 1;
}

// One file of the chain: an ELF program ends it (0), a script puts its interpreter in front (1), anything else is an
// error.
i64 examine(ExecRequest* request, u32 level, Vector* vector) {
  Scratch* scratch = request->scratch;
  FileHead head;
  i64 result = read_program_head(*request, &head);
  if (result < 0) return result;
  if (head.filled >= 2 && head.bytes[0] == '#' && head.bytes[1] == '!') {
    close_program(*scratch, head);
    char* text = scratch->heads[level];
    if (head.filled < kScriptHeadBytes) memset(text, 0, kScriptHeadBytes);
    memcpy(text, head.bytes, head.filled < kScriptHeadBytes ? head.filled : kScriptHeadBytes);
    return follow_script(request, level, text, vector);
  }
  result = check_elf(head, reinterpret_cast<char*>(scratch->room + sizeof scratch->room - wire::kMaxExePath));
  request->starts_runtime = result == 0 && starts_runtime(*request, head, *vector);
  close_program(*scratch, head);
  return result;
}

}  // namespace

i64 prepare_exec(ExecRequest* request) {
  Scratch* scratch = request->scratch;
  i64 result = resolve_path(request);
  if (result < 0) return result;
  char* marker_text = free_room(*request);
  request->used += wire::kMarkerFieldsBytes + string_length(request->marker.runtime_path) + 1;
  Vector vector;
  result = copy_vector(request, &vector);
  if (result < 0) return result;
  if (vector.first == vector.last)
    vector.entries[vector.last++] = reinterpret_cast<u64>("");  // as the kernel since 5.18
  u64 before = vector.first;
  u32 level = 0;
  while ((result = examine(request, level, &vector)) > 0) {
    if (++level > kMaxLevels) return -ELOOP;
  }
  if (result < 0) return result;
  if (request->starts_runtime) {
    vector.entries[vector.last] = 0;
    request->vector = reinterpret_cast<u64>(vector.entries + vector.first);
    request->file = request->program;
    withhold_ids();
    return 0;
  }
  result = prepare_parked_ids();
  if (result < 0) return result;
  Marker marker = request->marker;
  // The script's own name was pushed first and lies just before the arguments that followed argv[0].
  marker.name_index = level == 0 ? 0 : static_cast<u32>(before - vector.first + 1);
  marker.program_fd = scratch->program_fd;
  format_marker(marker, marker_text);
  push_front(&vector, request->program);
  push_front(&vector, marker_text);
  vector.entries[vector.last] = 0;
  request->vector = reinterpret_cast<u64>(vector.entries + vector.first);
  request->file = request->marker.runtime_path;
  return 0;
}

namespace {

i64 prepare_on_scratch(void* request) { return prepare_exec(static_cast<ExecRequest*>(request)); }

// The next runtime is the file this one came from: by path, or by the exe link where the path leads nowhere (chroot,
// removed state).
constexpr const char* kExeLink = "/proc/self/exe";

bool path_is_lost(i64 error) { return error == -ENOENT || error == -ENOTDIR || error == -EACCES; }

Marker marker_for_descendant() {
  Marker marker;
  marker.runtime_path = g_state.runtime_path;
  marker.restored_filter = (g_private.parts & kPartRestored) != 0;
  marker.parts = g_private.parts & ~(kPartBase | kPartRestored);
  marker.ids_fd = parked_fd();
  marker.vdso = g_vdso_layout;
  marker.stacked_filters = g_state.stacked_filters;
  marker.forgone = g_private.forgone;
  marker.monotonic_offset_ns = g_state.monotonic_offset_ns;
  marker.boottime_offset_ns = g_state.boottime_offset_ns;
  return marker;
}

}  // namespace

i64 trapped_exec(Trap& trap) {
  bool at = trap.number == __NR_execveat;
  const u64* arguments = trap.arguments + (at ? 1 : 0);
  u64 flags = at ? static_cast<u32>(trap.arguments[4]) : 0;
  if ((flags & kExecveCheck) != 0) {  // asks only; nothing is executed
    return raw_syscall(__NR_execveat, trap.arguments[0], arguments[0], arguments[1], arguments[2], flags);
  }
  Scratch* scratch = wait_for_scratch();
  if (scratch == nullptr) return -ENOMEM;
  ExecRequest request{};
  request.directory = at ? static_cast<i32>(trap.arguments[0]) : AT_FDCWD;
  request.path = arguments[0];
  request.arguments = arguments[1];
  request.environment = arguments[2];
  request.flags = flags;
  request.marker = marker_for_descendant();
  request.scratch = scratch;
  i64 result = run_on_scratch(scratch, prepare_on_scratch, &request);
  if (result == 0) {
    u64 call[6] = {reinterpret_cast<u64>(request.file), request.vector, request.environment};
    result = stasis_blocking_call(trap.context, __NR_execve, call);
    if (path_is_lost(result) && request.file == g_state.runtime_path) {
      call[0] = reinterpret_cast<u64>(kExeLink);
      result = stasis_blocking_call(trap.context, __NR_execve, call);
    }
  }
  release_scratch(scratch);
  return result;
}

i64 exec_first(const char* path, char** arguments, char** environment, const Marker& marker) {
  Scratch* scratch = acquire_scratch();
  ExecRequest request{};
  request.directory = AT_FDCWD;
  request.path = reinterpret_cast<u64>(path);
  request.arguments = reinterpret_cast<u64>(arguments);
  request.environment = reinterpret_cast<u64>(environment);
  request.marker = marker;
  request.scratch = scratch;
  i64 result = prepare_exec(&request);
  if (result == 0) result = raw_syscall(__NR_execve, request.file, request.vector, environment);
  release_scratch(scratch);
  return result;
}

}  // namespace stasis::runtime
