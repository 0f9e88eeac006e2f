// readlink(2) and readlinkat(2) of /proc/self/exe (see exe_link.h).
#include "runtime/exe_link.h"

#include "runtime/ids.h"
#include "runtime/program_memory.h"
#include "runtime/scratch.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

// Of another process, whose memory this one may not be allowed to read.
bool read_other(u32 system_pid, void* to, u64 from, u64 bytes) {
  struct {
    u64 address, bytes;
  } local{reinterpret_cast<u64>(to), bytes}, remote{from, bytes};
  return raw_syscall(__NR_process_vm_readv, system_pid, &local, 1, &remote, 1, 0) == static_cast<i64>(bytes);
}

struct OtherLink {
  u32 pid;
  u64 buffer;
  i64 capacity;
  Scratch* scratch;
};

// The length answered, or -ENOENT if the process has no runtime.
i64 answer_other(void* argument) {
  const auto* link = static_cast<const OtherLink*>(argument);
  char* path = link->scratch->path;
  if (!read_exe_path(link->pid, path)) return -ENOENT;
  const i64 length = static_cast<i64>(string_length(path));
  const i64 shown = length < link->capacity ? length : link->capacity;
  const i64 result = write_program(link->buffer, path, static_cast<u64>(shown));
  return result < 0 ? result : shown;
}

__attribute__((noinline)) i64 read_other_link(u32 pid, u64 buffer, i64 capacity) {
  OtherLink link{pid, buffer, capacity, wait_for_scratch()};
  if (link.scratch == nullptr) return -ENOMEM;
  const i64 result = run_on_scratch(link.scratch, answer_other, &link);
  release_scratch(link.scratch);
  return result;
}

}  // namespace

i64 process_of_exe_link(const char* path) {
  if (!starts_with(path, "/proc/")) return -1;
  path += 6;
  if (string_equal(path, "self/exe") || string_equal(path, "thread-self/exe")) return 0;
  if (*path < '1' || *path > '9') return -1;
  const u64 number = read_decimal(path);
  if (!string_equal(path, "/exe") || number >= wire::kPidLimit) return -1;
  const i64 pid = ids_on() ? system_of(static_cast<i32>(number)) : static_cast<i64>(number);
  return pid == raw_syscall(__NR_getpid) ? 0 : pid > 0 ? pid : -1;
}

bool read_exe_path(u32 system_pid, char* path) {
  if (system_pid == 0 || system_pid == static_cast<u64>(raw_syscall(__NR_getpid))) {
    copy_string(path, wire::kMaxExePath, g_state.exe_path);
    return true;
  }
  struct {
    u64 magic;
    u32 version, bytes;
  } head;
  u64 state;
  constexpr u64 kStateAddress = wire::kDescriptorAddress + __builtin_offsetof(wire::Descriptor, state);
  if (!read_other(system_pid, &head, wire::kDescriptorAddress, sizeof head)) return false;
  if (head.magic != wire::kDescriptorMagic || head.version != wire::kDescriptorVersion) return false;
  if (!read_other(system_pid, &state, kStateAddress, sizeof state)) return false;
  if (!read_other(system_pid, path, state + __builtin_offsetof(wire::RuntimeState, exe_path), wire::kMaxExePath))
    return false;
  path[wire::kMaxExePath - 1] = 0;
  return path[0] == '/';
}

i64 trapped_readlink(Trap& trap) {
  bool at = trap.number == __NR_readlinkat;
  u64 path_address = trap.arguments[at ? 1 : 0], buffer = trap.arguments[at ? 2 : 1];
  i64 capacity = static_cast<i32>(trap.arguments[at ? 3 : 2]);  // the kernel's parameter is an int
  // Most paths that are asked about are no links: a compiler asks a thousand times. The one byte that a link gives is
  // written again below, unless it is a byte of the path.
  if (capacity > 1 && buffer - path_address >= wire::kMaxExePath) {
    u64 probe[4] = {trap.arguments[0], trap.arguments[1], trap.arguments[2], trap.arguments[3]};
    probe[at ? 3 : 2] = 1;
    const i64 probed = raw_syscall(static_cast<i64>(trap.number), probe[0], probe[1], probe[2], probe[3]);
    if (probed < 0) return probed;
  }
  char path[48];  // longer than any name of the link
  i64 process = -1;
  if (capacity > 0 && read_program_string(path, path_address, sizeof path) > 0) process = process_of_exe_link(path);
  if (process > 0) {
    const i64 result = read_other_link(static_cast<u32>(process), buffer, capacity);
    if (result != -ENOENT) return result;
  }
  if (process != 0) {
    return raw_syscall(static_cast<i64>(trap.number), trap.arguments[0], trap.arguments[1], trap.arguments[2],
                       trap.arguments[3]);
  }
  u64 length = string_length(g_state.exe_path);
  if (length > static_cast<u64>(capacity)) length = static_cast<u64>(capacity);
  i64 result = write_program(buffer, g_state.exe_path, length);
  return result < 0 ? result : static_cast<i64>(length);
}

}  // namespace stasis::runtime
