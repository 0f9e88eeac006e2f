// Paths through procfs (see proc_path.h).
#include "runtime/proc_path.h"

#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/magic.h>

#include "runtime/ids.h"
#include "runtime/ids_table.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

constexpr u64 kLinkBytes = 128;  // more than any name of a directory in procfs that matters here

struct Name {
  const char* text;
  u64 length;
};

bool is(const Name& name, const char* text) {
  return string_length(text) == name.length && memcmp(name.text, text, name.length) == 0;
}

// As fs/proc/base.c, name_to_int: no leading zero.
bool is_number(const Name& name, u32* number) {
  if (name.length == 0 || name.length > 9 || (name.text[0] == '0' && name.length > 1)) return false;
  u32 value = 0;
  for (u64 i = 0; i < name.length; i++) {
    if (name.text[i] < '0' || name.text[i] > '9') return false;
    value = value * 10 + static_cast<u32>(name.text[i] - '0');
  }
  *number = value;
  return true;
}

enum class Numbers { Virtual, System };

u32 own_pid() { return static_cast<u32>(raw_syscall(__NR_getpid)); }

// A numeric name that stands for a task: its system id, or -ENOENT.
i64 task_of(u32 number, Numbers numbers) {
  if (numbers == Numbers::System) return number;
  const i64 system = system_of(static_cast<i32>(number));
  return system > 0 ? system : -ENOENT;
}

ProcPlace enter_process(const ProcPosition& from, const Name& name) {
  if (is(name, "task")) return from.place == ProcPlace::Process ? ProcPlace::Tasks : ProcPlace::Other;
  if (is(name, "fd")) return ProcPlace::Descriptors;
  if (is(name, "fdinfo")) return ProcPlace::DescriptorInfos;
  if (is(name, "stat")) return ProcPlace::Stat;
  if (is(name, "status")) return ProcPlace::Status;
  if (is(name, "sched")) return ProcPlace::Scheduling;
  if (is(name, "children")) return from.place == ProcPlace::Task ? ProcPlace::Children : ProcPlace::Other;
  if (is(name, "exe")) return ProcPlace::ExeLink;
  if (is(name, "cwd")) return ProcPlace::DirectoryLink;
  return is(name, "root") ? ProcPlace::Mount : ProcPlace::Other;
}

ProcPlace enter_ipc(const Name& name) {
  if (is(name, "shm")) return ProcPlace::SharedMemory;
  if (is(name, "sem")) return ProcPlace::Semaphores;
  return is(name, "msg") ? ProcPlace::MessageQueues : ProcPlace::Other;
}

ProcPlace enter_root(const Name& name) {
  if (is(name, "self")) return ProcPlace::Process;
  if (is(name, "thread-self")) return ProcPlace::Task;
  if (is(name, "sysvipc")) return ProcPlace::Ipc;
  if (is(name, "uptime")) return ProcPlace::Uptime;
  return is(name, "locks") ? ProcPlace::Locks : ProcPlace::Other;
}

// Of another process it could lead to procfs as well; nobody goes that way.
ProcPosition target_of(const ProcPosition& link) {
  if (link.process == 0 || link.process == own_pid()) return position_of(link.directory);
  return {ProcPlace::Elsewhere, 0, 0};
}

void go_up(ProcPosition* at) {
  if (at->place == ProcPlace::DirectoryLink) *at = target_of(*at);
  switch (at->place) {
    case ProcPlace::Devices:
    case ProcPlace::Root:
      at->place = ProcPlace::Mount;
      break;
    case ProcPlace::Process:
    case ProcPlace::Ipc:
      *at = {ProcPlace::Root, 0, 0};
      break;
    case ProcPlace::Tasks:
      at->place = ProcPlace::Process;
      break;
    case ProcPlace::Task:
      *at = {ProcPlace::Tasks, at->process, 0};
      break;
    case ProcPlace::Descriptors:
    case ProcPlace::DescriptorInfos:
      at->place = at->task != 0 ? ProcPlace::Task : ProcPlace::Process;
      break;
    default:
      break;
  }
}

// One step down. `system` is set to the number that stands for a virtual one in this place, 0: none. 0 or -ENOENT.
i64 go_down(ProcPosition* at, const Name& name, Numbers numbers, u32* system) {
  u32 number = 0;
  const bool numeric = is_number(name, &number);
  switch (at->place) {
    case ProcPlace::Mount:
      at->place = is(name, "proc") ? ProcPlace::Root : is(name, "dev") ? ProcPlace::Devices : ProcPlace::Elsewhere;
      return 0;
    case ProcPlace::Devices:
      at->place = is(name, "fd") ? ProcPlace::Descriptors : ProcPlace::Elsewhere;
      return 0;
    case ProcPlace::Root:
    case ProcPlace::Tasks:
      if (numeric) {
        const i64 task = task_of(number, numbers);
        if (task < 0) return task;
        *system = static_cast<u32>(task);
        if (at->place == ProcPlace::Root) {
          *at = {ProcPlace::Process, *system, 0};
        } else {
          *at = {ProcPlace::Task, at->process, *system};
        }
        return 0;
      }
      at->place = at->place == ProcPlace::Root ? enter_root(name) : ProcPlace::Other;
      if (at->place == ProcPlace::Task) at->task = static_cast<u32>(raw_syscall(__NR_gettid));
      return 0;
    case ProcPlace::Process:
    case ProcPlace::Task:
      at->place = enter_process(*at, name);
      if (at->place == ProcPlace::Mount) at->process = at->task = 0;
      at->directory = AT_FDCWD;
      return 0;
    case ProcPlace::Descriptors:
    case ProcPlace::DescriptorInfos:
      if (numeric && is_hidden_descriptor(at->process, number)) return -ENOENT;
      at->place = at->place == ProcPlace::Descriptors ? ProcPlace::DirectoryLink : ProcPlace::DescriptorInfo;
      at->directory = numeric ? static_cast<i32>(number) : -1;
      return 0;
    case ProcPlace::DirectoryLink:
      *at = target_of(*at);
      return at->place == ProcPlace::Elsewhere || at->place == ProcPlace::DirectoryLink
                 ? 0
                 : go_down(at, name, numbers, system);
    case ProcPlace::Ipc:
      at->place = enter_ipc(name);
      return 0;
    default:
      at->place = ProcPlace::Elsewhere;  // behind a link or a file
      return 0;
  }
}

// The next name of `path`, which is moved behind it. False at the end.
bool next_name(const char** path, Name* name) {
  while (**path == '/') (*path)++;
  name->text = *path;
  while (**path != 0 && **path != '/') (*path)++;
  name->length = static_cast<u64>(*path - name->text);
  return name->length != 0;
}

// self and thread-self at the very end of a path are the links themselves to calls that do not follow. A slash behind a
// name that is no directory is the kernel's to refuse.
void end_at_link(ProcPosition* at, const ProcPosition& before, const Name& last, const char* path) {
  if (path[-1] == '/') {
    if (at->place >= ProcPlace::SelfLink) at->place = ProcPlace::Other;
    return;
  }
  if (before.place != ProcPlace::Root) return;
  if (is(last, "self")) at->place = ProcPlace::SelfLink;
  if (is(last, "thread-self")) at->place = ProcPlace::ThreadSelfLink;
}

}  // namespace

bool is_hidden_descriptor(u32 system_pid, u64 fd) {
  if (parked_fd() < 0 || fd != static_cast<u64>(parked_fd())) return false;
  if (system_pid == 0 || system_pid == own_pid()) return true;
  const u32 virtual_pid = find_virtual(id_table(), system_pid);
  return virtual_pid != 0 && (forward_word(id_table(), virtual_pid).flags & wire::kIdForeign) == 0;
}

i64 walk_virtual(const char* path, ProcPosition from, char* to, u64 capacity, ProcWalk* walk) {
  *walk = {from, false};
  ProcPosition before = from;
  const char* copied = path;  // all before is at `to`
  char* end = to;
  Name name{path, 0}, last{path, 0};
  while (next_name(&path, &name)) {
    before = walk->at;
    last = name;
    if (is(name, ".")) continue;
    if (is(name, "..")) {
      go_up(&walk->at);
      continue;
    }
    u32 system = 0;
    const i64 result = go_down(&walk->at, name, Numbers::Virtual, &system);
    if (result < 0) return result;
    if (system == 0) continue;
    const u64 plain = static_cast<u64>(name.text - copied);
    if (static_cast<u64>(end - to) + plain + 24 > capacity) return -ENAMETOOLONG;
    memcpy(end, copied, plain);
    end = write_decimal(end + plain, system);
    copied = path;
    walk->changed = true;
  }
  const u64 rest = static_cast<u64>(path - copied);
  if (static_cast<u64>(end - to) + rest + 1 > capacity) return -ENAMETOOLONG;
  memcpy(end, copied, rest);
  end[rest] = 0;
  if (last.length != 0) end_at_link(&walk->at, before, last, path);
  return 0;
}

ProcPosition walk_system(const char* path, ProcPosition from) {
  ProcPosition at = from;
  Name name;
  u32 system;
  while (next_name(&path, &name)) {
    if (go_down(&at, name, Numbers::System, &system) < 0) at.place = ProcPlace::Other;
  }
  return at;
}

u64 reverse_path(const char* path, char* to, u64 capacity) {
  ProcPosition at{ProcPlace::Mount, 0, 0};
  char* end = to;
  Name name;
  const char* copied = path;
  while (at.place != ProcPlace::Elsewhere && next_name(&path, &name)) {
    u32 system = 0;
    if (go_down(&at, name, Numbers::System, &system) < 0 || system == 0) continue;
    const u64 plain = static_cast<u64>(name.text - copied);
    if (static_cast<u64>(end - to) + plain + 24 > capacity) break;
    memcpy(end, copied, plain);
    end = write_decimal(end + plain, virtual_of(system));
    copied = path;
  }
  end += copy_string(end, capacity - static_cast<u64>(end - to), copied);
  return static_cast<u64>(end - to);
}

ProcPosition position_of(i32 directory) {
  constexpr ProcPosition kElsewhere{ProcPlace::Elsewhere, 0, 0};
  char link[kLinkBytes];
  if (directory == AT_FDCWD) {
    write_text(link, "/proc/thread-self/cwd");
  } else {
    if (directory < 0) return kElsewhere;
    write_decimal(write_text(link, "/proc/thread-self/fd/"), static_cast<u64>(directory));
  }
  struct statfs status;
  const i64 result =
      directory == AT_FDCWD ? raw_syscall(__NR_statfs, ".", &status) : raw_syscall(__NR_fstatfs, directory, &status);
  if (result < 0 || status.f_type != PROC_SUPER_MAGIC) return kElsewhere;
  const i64 length = raw_syscall(__NR_readlink, link, link, sizeof link - 1);
  if (length <= 0 || length == sizeof link - 1) return kElsewhere;
  link[length] = 0;
  return walk_system(link, {ProcPlace::Mount, 0, 0});
}

}  // namespace stasis::runtime
