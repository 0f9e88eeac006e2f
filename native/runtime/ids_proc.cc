// Calls that take a path, which may lead to processes in /proc (docs/interposition.md).
//
//   1. the first bytes of the path tell whether it can lead to procfs; if not, the call is made as it is. This is the
//      way of nearly every call, so it costs one read of program memory and no more
//   2. on a scratch stack: the path is walked (proc_path.h) and copied with system pids
//   3. links whose text is an id, the exe link and texts with ids are answered here; every other call is made with the
//      copy
//
// An open may block, in a FIFO for instance, and a signal may take the thread away from there: then nothing may be
// held, and so the copy lies on the SIGSYS frame's stack, if it is not unusually long.
#include <linux/fcntl.h>
#include <linux/inotify.h>
#include <linux/openat2.h>

#include "runtime/exe_link.h"
#include "runtime/ids.h"
#include "runtime/proc_path.h"
#include "runtime/proc_text.h"
#include "runtime/program_memory.h"
#include "runtime/scratch.h"
#include "runtime/signals.h"
#include "runtime/sigsys_mask.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

enum class Kind : u8 { Ask, Open, ReadLink };

constexpr i32 kNone = -1;

struct PathCall {
  u16 number;
  Kind kind;
  i32 directory;  // argument, or kNone: the working directory
  i32 path;
  i32 flags;
  u32 no_follow;  // the bit in flags; ~0 without flags: never follows
};

constexpr PathCall kPathCalls[] = {
    {__NR_openat, Kind::Open, 0, 1, 2, O_NOFOLLOW},
    {__NR_newfstatat, Kind::Ask, 0, 1, 3, AT_SYMLINK_NOFOLLOW},
    {__NR_open, Kind::Open, kNone, 0, 1, O_NOFOLLOW},
    {__NR_stat, Kind::Ask, kNone, 0, kNone, 0},
    {__NR_lstat, Kind::Ask, kNone, 0, kNone, ~0u},
    {__NR_access, Kind::Ask, kNone, 0, kNone, 0},
    {__NR_readlink, Kind::ReadLink, kNone, 0, kNone, ~0u},
    {__NR_readlinkat, Kind::ReadLink, 0, 1, kNone, ~0u},
    {__NR_statx, Kind::Ask, 0, 1, 2, AT_SYMLINK_NOFOLLOW},
    {__NR_faccessat, Kind::Ask, 0, 1, kNone, 0},
    {__NR_faccessat2, Kind::Ask, 0, 1, 3, AT_SYMLINK_NOFOLLOW},
    {__NR_chdir, Kind::Ask, kNone, 0, kNone, 0},
    {__NR_statfs, Kind::Ask, kNone, 0, kNone, 0},
    {__NR_openat2, Kind::Open, 0, 1, kNone, O_NOFOLLOW},  // flags in memory
    {__NR_utimensat, Kind::Ask, 0, 1, 3, AT_SYMLINK_NOFOLLOW},
    {__NR_getxattr, Kind::Ask, kNone, 0, kNone, 0},
    {__NR_lgetxattr, Kind::Ask, kNone, 0, kNone, ~0u},
    {__NR_listxattr, Kind::Ask, kNone, 0, kNone, 0},
    {__NR_llistxattr, Kind::Ask, kNone, 0, kNone, ~0u},
    {__NR_inotify_add_watch, Kind::Ask, kNone, 1, 2, IN_DONT_FOLLOW},
};

const PathCall* find_call(u64 number) {
  for (const PathCall& call : kPathCalls) {
    if (call.number == number) return &call;
  }
  return nullptr;
}

constexpr u32 kHeadBytes = 64;
constexpr u32 kShortPathBytes = 128;

bool is_name(const char* text, const char* name) {
  if (!starts_with(text, name)) return false;
  const char end = text[string_length(name)];
  return end == 0 || end == '/';
}

const char* skip_slashes(const char* text) {
  while (*text == '/') text++;
  return text;
}

// Names in the root directory by which an absolute path comes to a process; and, for a relative path, all names in
// directories of procfs that have to do with ids.
bool may_lead_to_procfs(const char* path) {
  const bool absolute = *path == '/';
  path = skip_slashes(path);
  while (is_name(path, ".") || is_name(path, "..")) path = skip_slashes(path + (path[1] == '.' ? 2 : 1));
  if (is_name(path, "proc") || (absolute && is_name(path, "dev") && is_name(skip_slashes(path + 3), "fd"))) return true;
  if (absolute) return false;
  if (*path >= '1' && *path <= '9') return true;
  static constexpr const char* kNames[] = {"self", "thread-self", "task",     "stat",  "status", "exe",
                                           "fd",   "fdinfo",      "children", "locks", "shm",    "sysvipc",
                                           "sem",  "msg",         "dev",      "sched", "root",   "uptime"};
  for (const char* name : kNames) {
    if (is_name(path, name)) return true;
  }
  return false;
}

// A frame of its own, which is gone when the call is made.
__attribute__((noinline)) bool leads_nowhere(u64 path) {
  char head[kHeadBytes];
  const i64 length = read_program_string(head, path, sizeof head);
  if (length == -EFAULT) return true;  // the kernel says so itself
  if (length < 0) head[sizeof head - 1] = 0;
  return !may_lead_to_procfs(head);
}

i64 issue(Trap& trap, const PathCall& call) { return call.kind == Kind::Open ? blocking_call(trap) : issue_once(trap); }

struct Request {
  Trap* trap;
  const PathCall* call;
  Scratch* scratch;
  enum { Done, AsItIs, Translated } outcome;  // Translated: with scratch->program as the path
};

// Where the request's path is copied to, and where there is room beside.
char* original_path(const Request& request) { return request.scratch->path; }
char* translated_path(const Request& request) { return request.scratch->program; }
char* answer_buffer(const Request& request) { return request.scratch->interpreter; }

i64 issue_with(const Request& request, const char* path) {
  Trap trap = *request.trap;
  trap.arguments[request.call->path] = reinterpret_cast<u64>(path);
  return raw_syscall(static_cast<i64>(trap.number), trap.arguments[0], trap.arguments[1], trap.arguments[2],
                     trap.arguments[3], trap.arguments[4], trap.arguments[5]);
}

i64 answer_text(const Request& request, const char* text, u64 length) {
  const u32 first = static_cast<u32>(request.call->path) + 1;
  const i64 capacity = static_cast<i32>(request.trap->arguments[first + 1]);  // the kernel's parameter is an int
  if (capacity <= 0) return -EINVAL;
  if (length > static_cast<u64>(capacity)) length = static_cast<u64>(capacity);
  const i64 result = write_program(request.trap->arguments[first], text, length);
  return result < 0 ? result : static_cast<i64>(length);
}

i64 read_link(const Request& request, const ProcPosition& at) {
  char* answer = answer_buffer(request);
  const u32 own = static_cast<u32>(raw_syscall(__NR_getpid));
  if (at.place == ProcPlace::SelfLink || at.place == ProcPlace::ThreadSelfLink) {
    char* end = write_decimal(answer, virtual_of(own));
    if (at.place == ProcPlace::ThreadSelfLink) {
      end = write_decimal(write_text(end, "/task/"), virtual_of(static_cast<u32>(raw_syscall(__NR_gettid))));
    }
    return answer_text(request, answer, static_cast<u64>(end - answer));
  }
  if (at.place == ProcPlace::ExeLink && read_exe_path(at.process, answer)) {
    return answer_text(request, answer, string_length(answer));
  }
  // What an fd or a working directory on procfs is called has a system pid in it.
  const i32 directory =
      request.call->directory == kNone ? AT_FDCWD : static_cast<i32>(request.trap->arguments[request.call->directory]);
  const i64 length = raw_syscall(__NR_readlinkat, directory, translated_path(request), answer, wire::kMaxExePath - 1);
  if (length < 0) return length;
  answer[length] = 0;
  char* reversed = original_path(request);
  if (!starts_with(answer, "/proc/")) return answer_text(request, answer, static_cast<u64>(length));
  return answer_text(request, reversed, reverse_path(answer, reversed, wire::kMaxExePath));
}

// 0 or -EFAULT.
i64 open_flags(const Trap& trap, const PathCall& call, u64* flags, u64* resolve) {
  *resolve = 0;
  if (trap.number != __NR_openat2) {
    *flags = trap.arguments[call.flags];
    return 0;
  }
  open_how how{};
  if (trap.arguments[3] < sizeof how) return -EFAULT;  // the kernel refuses it
  const i64 result = read_program(&how, trap.arguments[2], sizeof how);
  *flags = how.flags;
  *resolve = how.resolve;
  return result;
}

bool follows(const Request& request, u64 open_flags) {
  const PathCall& call = *request.call;
  if (call.no_follow == ~0u) return false;
  const u64 flags = call.kind == Kind::Open ? open_flags
                    : call.flags == kNone   ? 0
                                            : request.trap->arguments[call.flags];
  return (flags & call.no_follow) == 0;
}

i64 open_text(Request* request, ProcPlace place, u64 flags) {
  request->outcome = Request::Done;
  const i64 fd = issue_with(*request, translated_path(*request));
  if (fd < 0) return fd;
  const u64 own_mask = request->trap->context->signal_mask | (sigsys_blocked() ? kSignalSysBit : 0);
  const i64 result = translate_text(request->scratch, static_cast<i32>(fd), place, (flags & O_CLOEXEC) != 0, own_mask);
  if (result == 0) return fd;
  raw_syscall(__NR_close, fd);
  return result;
}

// What is to be done about a path in procfs. `walk` is where it leads.
i64 handle_place(Request* request, const ProcWalk& walk) {
  const PathCall& call = *request->call;
  u64 flags = 0, resolve = 0;
  if (call.kind == Kind::ReadLink) {
    request->outcome = Request::Done;
    return read_link(*request, walk.at);
  }
  if (call.kind == Kind::Open && open_flags(*request->trap, call, &flags, &resolve) < 0) return 0;
  if (walk.at.place == ProcPlace::ExeLink && follows(*request, flags) && resolve == 0 &&
      read_exe_path(walk.at.process, answer_buffer(*request))) {
    request->outcome = Request::Done;
    return issue_with(*request, answer_buffer(*request));
  }
  const bool only_read = call.kind == Kind::Open && (flags & (O_ACCMODE | O_PATH | O_DIRECTORY)) == O_RDONLY;
  if (only_read && is_text(walk.at.place)) return open_text(request, walk.at.place, flags);
  return 0;
}

// A relative path that climbs to the root directory before it goes down to procfs.
bool climbs_to_root(const char* path, i32 directory, char* buffer) {
  if (directory == AT_FDCWD) {
    write_text(buffer, "/proc/thread-self/cwd");
  } else {
    write_decimal(write_text(buffer, "/proc/thread-self/fd/"), static_cast<u64>(directory));
  }
  const i64 length = raw_syscall(__NR_readlink, buffer, buffer, wire::kMaxExePath - 1);
  if (length <= 0 || buffer[0] != '/') return false;
  buffer[length] = 0;
  i64 depth = 0;
  for (const char* name = skip_slashes(buffer); *name != 0; name = skip_slashes(name)) {
    depth++;
    while (*name != 0 && *name != '/') name++;
  }
  for (; is_name(path, ".") || is_name(path, ".."); path = skip_slashes(path + (path[1] == '.' ? 2 : 1))) {
    if (path[1] == '.') depth--;
  }
  return depth <= 0 && (is_name(path, "proc") || is_name(path, "dev"));
}

// Where a walk along the path begins.
ProcPosition beginning(const Request& request, const char* path) {
  constexpr ProcPosition kMount{ProcPlace::Mount, 0, 0};
  if (path[0] == '/') return kMount;
  const PathCall& call = *request.call;
  const i32 directory = call.directory == kNone ? AT_FDCWD : static_cast<i32>(request.trap->arguments[call.directory]);
  const ProcPosition position = position_of(directory);
  if (position.place != ProcPlace::Elsewhere) return position;
  return climbs_to_root(path, directory, answer_buffer(request)) ? kMount : position;
}

i64 handle_on_scratch(void* argument) {
  auto* request = static_cast<Request*>(argument);
  const PathCall& call = *request->call;
  const Trap& trap = *request->trap;
  char* path = original_path(*request);
  request->outcome = Request::AsItIs;
  if (read_program_string(path, trap.arguments[call.path], wire::kMaxExePath) <= 0) return 0;
  const ProcPosition from = beginning(*request, path);
  if (from.place == ProcPlace::Elsewhere) return 0;
  ProcWalk walk;
  const i64 result = walk_virtual(path, from, translated_path(*request), wire::kMaxExePath, &walk);
  if (result < 0) {
    request->outcome = Request::Done;
    return result;
  }
  if (walk.changed) request->outcome = Request::Translated;
  return is_in_procfs(walk.at.place) ? handle_place(request, walk) : 0;
}

__attribute__((noinline)) i64 issue_short(Trap& trap, const PathCall& call, Scratch* scratch) {
  char path[kShortPathBytes];
  copy_string(path, sizeof path, scratch->program);
  release_scratch(scratch);
  trap.arguments[call.path] = reinterpret_cast<u64>(path);
  return issue(trap, call);
}

__attribute__((noinline)) i64 handle_path(Trap& trap, const PathCall& call) {
  Scratch* scratch = wait_for_scratch();
  if (scratch == nullptr) return -ENOMEM;
  Request request{&trap, &call, scratch, Request::AsItIs};
  i64 result = run_on_scratch(scratch, handle_on_scratch, &request);
  if (request.outcome == Request::Translated) {
    if (string_length(scratch->program) < kShortPathBytes) return issue_short(trap, call, scratch);
    result = issue_with(request, scratch->program);
  }
  release_scratch(scratch);
  return request.outcome == Request::AsItIs ? issue(trap, call) : result;
}

// The directory is the table's descriptor, so to the program it is none.
bool starts_at_parked(const Trap& trap, const PathCall& call) {
  if (call.directory == kNone || static_cast<i32>(trap.arguments[call.directory]) != parked_fd()) return false;
  char first = 0;
  read_program(&first, trap.arguments[call.path], sizeof first);
  return first != '/';
}

}  // namespace

i64 trapped_path_call(Trap& trap) {
  const PathCall* call = find_call(trap.number);
  if (starts_at_parked(trap, *call)) return -EBADF;
  if (leads_nowhere(trap.arguments[call->path])) return issue(trap, *call);
  return handle_path(trap, *call);
}

namespace {

i64 get_directory(void* argument) {
  const auto* request = static_cast<const Request*>(argument);
  char* path = original_path(*request);
  char* answer = answer_buffer(*request);
  const i64 length = raw_syscall(__NR_getcwd, path, wire::kMaxExePath);
  if (length < 0) return length;
  const u64 bytes = reverse_path(path, answer, wire::kMaxExePath) + 1;
  if (bytes > request->trap->arguments[1]) return -ERANGE;
  const i64 result = write_program(request->trap->arguments[0], answer, bytes);
  return result < 0 ? result : static_cast<i64>(bytes);
}

}  // namespace

i64 trapped_getcwd(Trap& trap) {
  Scratch* scratch = wait_for_scratch();
  if (scratch == nullptr) return -ENOMEM;
  Request request{&trap, nullptr, scratch, Request::Done};
  const i64 result = run_on_scratch(scratch, get_directory, &request);
  release_scratch(scratch);
  return result;
}

}  // namespace stasis::runtime
