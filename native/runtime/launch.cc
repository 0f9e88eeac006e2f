// Starting a program: install the filter and execute it through the runtime (first launch), or be its loader (every
// exec after that).
//
// The loader's order: SIGSYS handler -> vdso into the window -> program -> its interpreter -> stack and auxiliary
// vector as the kernel would have left them -> break, command line and name for /proc -> close what is ours -> jump.
#include <linux/auxvec.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/prctl.h>

#include "runtime/clock.h"
#include "runtime/exec.h"
#include "runtime/filter.h"
#include "runtime/ids.h"
#include "runtime/loader.h"
#include "runtime/program_file.h"
#include "runtime/real_path.h"
#include "runtime/report.h"
#include "runtime/start.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/vdso.h"

extern "C" [[noreturn]] void stasis_enter_program(stasis::u64 entry, stasis::u64* stack);

namespace stasis::runtime {

namespace {

using wire::Step;

constexpr u64 kProgramBase =
    0x5555'5555'4000;  // where the kernel begins with position-independent programs (ELF_ET_DYN_BASE)
constexpr u64 kNoRandomization = 0x0040000;  // ADDR_NO_RANDOMIZE
constexpr u64 kQueryPersonality = 0xffffffff;
constexpr u64 kRandomNonblocking = 1;  // GRND_NONBLOCK

// What the kernel put on the stack.
struct InitialStack {
  u64 count;
  char** arguments;
  char** environment;
  u64* auxiliary;
};

InitialStack read_stack(u64* stack) {
  InitialStack initial{stack[0], reinterpret_cast<char**>(stack + 1),
                       reinterpret_cast<char**>(stack + 1 + stack[0] + 1), nullptr};
  char** end = initial.environment;
  while (*end != nullptr) end++;
  initial.auxiliary = reinterpret_cast<u64*>(end + 1);
  return initial;
}

// Random bits for addresses; 0 where the program is to run without (setarch -R). AT_RANDOM is the program's own secret.
u64 address_randomness() {
  if ((raw_syscall(__NR_personality, kQueryPersonality) & kNoRandomization) != 0) return 0;
  u64 bits = 0;
  raw_syscall(__NR_getrandom, &bits, sizeof bits, kRandomNonblocking);
  return bits;
}

struct Program {
  LoadedFile file;
  LoadedFile interpreter;
  bool has_interpreter;
  u64 randomness;
  u64 vdso_end;  // of where the kernel had put the vdso; 0: not known
};

void load_interpreter(const char* path, u64 below, LoadedFile* loaded) {
  i64 fd = raw_syscall(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) report_fail(Step::OpenInterpreter, fd, 0, 0, path);
  FileHead head;
  i64 result = read_head(static_cast<i32>(fd), &head);
  if (result == 0) result = check_elf_header(head);
  if (result == 0) result = load_file(head, {.at = 0, .below = below}, loaded);
  if (result < 0) report_fail(Step::LoadInterpreter, result, 0, 0, path);
  raw_syscall(__NR_close, fd);
}

i64 load_with_interpreter(const FileHead& head, Program* program) {
  static char buffer[wire::kMaxExePath];
  const u64 hint = kProgramBase + ((program->randomness & 0xfffffff) << 12);  // 28 bits, as vm.mmap_rnd_bits
  const char* interpreter = nullptr;
  i64 result = check_elf_header(head);
  if (result == 0) result = load_file(head, {.at = hint, .below = 0}, &program->file);
  if (result == 0) result = find_interpreter(head, buffer, &interpreter);
  if (result < 0) return result;
  program->has_interpreter = interpreter != nullptr;
  // The kernel would have begun with the loader where it has begun with the vdso here, which has been moved away.
  if (program->has_interpreter) {
    load_interpreter(interpreter, program->vdso_end, &program->interpreter);
    g_private.interpreter = text_hash(interpreter);
  }
  return 0;
}

void load_program(const char* path, const Marker& marker, Program* program) {
  i64 fd = marker.program_fd;
  if (fd >= 0) {
    copy_string(g_state.exe_path, sizeof g_state.exe_path, path);
    read_real_path(static_cast<i32>(fd), g_state.exe_path);
  } else {
    fd = open_by_real_path(path, g_state.exe_path);
  }
  if (fd < 0) report_fail(Step::OpenProgram, fd, 0, 0, path);
  program->randomness = address_randomness();
  FileHead head;
  i64 result = read_head(static_cast<i32>(fd), &head);
  if (result == 0) result = load_with_interpreter(head, program);
  if (result < 0) report_fail(Step::LoadProgram, result, 0, 0, path);
  raw_syscall(__NR_close, fd);
}

// The stack's mapping ends behind the name the kernel executed, the last string on it (fs/exec.c).
void make_stack_executable(const u64* stack, const char* executed_name) {
  u64 start = reinterpret_cast<u64>(stack) & ~(wire::kPageBytes - 1);
  u64 end = reinterpret_cast<u64>(executed_name) + string_length(executed_name) + 1 + sizeof(u64);
  end = (end + wire::kPageBytes - 1) & ~(wire::kPageBytes - 1);
  raw_syscall(__NR_mprotect, start, end - start, PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN);
}

void write_auxiliary(u64* entry, const Program& program, const char* name) {
  const LoadedFile& file = program.file;
  for (; entry[0] != AT_NULL; entry += 2) {
    switch (entry[0]) {
      case AT_PHDR:
        entry[1] = file.headers;
        break;
      case AT_PHENT:
        entry[1] = sizeof(Elf64_Phdr);
        break;
      case AT_PHNUM:
        entry[1] = file.header_count;
        break;
      case AT_BASE:
        entry[1] = program.has_interpreter ? program.interpreter.bias : 0;
        break;
      case AT_ENTRY:
        entry[1] = file.entry;
        break;
      case AT_EXECFN:
        entry[1] = reinterpret_cast<u64>(name);
        break;
      case AT_SYSINFO_EHDR:
        entry[1] = wire::kOwnVdsoAddress;
        break;
      default:
        break;
    }
  }
}

u64 end_of_strings(char** last_of, u64 start) {
  return last_of == nullptr ? start : reinterpret_cast<u64>(*last_of) + string_length(*last_of) + 1;
}

// Break, command line, environment and auxiliary vector as /proc and brk(2) know them. Needs CONFIG_CHECKPOINT_RESTORE;
// without it the program runs all the same, with its heap in mmap and our two entries in its command line.
void set_memory_map(const InitialStack& initial, u64* stack, const Program& program) {
  const LoadedFile& file = program.file;
  prctl_mm_map map{};
  map.start_code = file.start_code == ~0UL ? file.start_data : file.start_code;
  map.end_code = file.end_code > map.start_code ? file.end_code : map.start_code + 1;
  map.start_data = file.start_data;
  map.end_data = file.end_data;
  u64 break_start = (file.break_start + wire::kPageBytes - 1) & ~(wire::kPageBytes - 1);
  break_start += ((program.randomness >> 32) & 0x1fff) << 12;                      // up to 32 MiB
  if (break_start <= map.end_data) break_start = map.end_data + wire::kPageBytes;  // demanded before 5.10
  map.start_brk = map.brk = break_start;
  map.start_stack = reinterpret_cast<u64>(stack);
  map.arg_start = reinterpret_cast<u64>(initial.arguments[2]);
  map.arg_end = end_of_strings(initial.arguments + initial.count - 1, map.arg_start);
  map.env_start = map.arg_end;
  char** last = initial.environment;
  while (*last != nullptr) last++;
  map.env_end = end_of_strings(last == initial.environment ? nullptr : last - 1, map.env_start);
  u64* end = initial.auxiliary;
  while (end[0] != AT_NULL) end += 2;
  map.auxv = reinterpret_cast<decltype(map.auxv)>(initial.auxiliary);
  map.auxv_size = static_cast<u32>(reinterpret_cast<u64>(end + 2) - reinterpret_cast<u64>(initial.auxiliary));
  map.exe_fd = ~0u;
  raw_syscall(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

[[noreturn]] void run_program(u64* stack, const Marker& marker) {
  InitialStack initial = read_stack(stack);
  const char* path = initial.arguments[1];
  i64 result = install_handler();
  if (result < 0) report_fail(Step::InstallHandler, result, 0, 0, nullptr);
  const u64 vdso = auxiliary_value(stack, AT_SYSINFO_EHDR);
  result = move_host_vdso(vdso, marker.vdso);  // if it cannot be moved it is used in place, or not at all
  reserve_window();
  Program program{};
  if (result == 0 && g_vdso_layout.count != 0) program.vdso_end = vdso + g_vdso_layout.vdso_bytes();
  load_program(path, marker, &program);
  const auto* executed_name = reinterpret_cast<const char*>(auxiliary_value(stack, AT_EXECFN));
  if (program.file.executable_stack) make_stack_executable(stack, executed_name);
  const char* name = marker.name_index != 0 ? initial.arguments[1 + marker.name_index] : path;
  write_auxiliary(initial.auxiliary, program, name);
  // An fd has no name of its own: the file's, as since 6.14.
  const bool nameless = marker.program_fd >= 0 && marker.name_index == 0 && starts_with(name, "/dev/fd/");
  raw_syscall(__NR_prctl, PR_SET_NAME, base_name(nameless ? g_state.exe_path : name));
  u64* program_stack = stack + 2;  // without marker and path; still aligned to 16
  program_stack[0] = initial.count - 2;
  set_memory_map(initial, program_stack, program);
  // The process that takes a checkpoint is no ancestor of this one, which Yama (kernel.yama.ptrace_scope 1) would
  // forbid. EINVAL without Yama.
  raw_syscall(__NR_prctl, PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  report_done();
  close_report(marker);
  stasis_enter_program(program.has_interpreter ? program.interpreter.entry : program.file.entry, program_stack);
}

u32 parts_of(const Marker& marker) { return kPartBase | marker.parts | (marker.restored_filter ? kPartRestored : 0u); }

}  // namespace

void launch_process(u64* initial_stack, const Marker& marker) {
  if (marker.first_launch) {
    InitialStack initial = read_stack(initial_stack);
    i64 result = park_ids(marker);
    if (result < 0) report_fail(Step::MapIds, result, static_cast<u64>(marker.ids_fd), 0, nullptr);
    result = install_filter(parts_of(marker), parked_fd());
    if (result < 0) report_fail(Step::InstallFilter, result, 0, 0, nullptr);
    Marker next = marker;
    next.first_launch = false;
    next.ids_fd = parked_fd();
    result = exec_first(initial.arguments[1], initial.arguments + 2, initial.environment, next);
    report_fail(Step::ExecProgram, result, 0, 0, initial.arguments[1]);
  }
  g_private.parts = parts_of(marker);
  set_clock_offsets(marker.monotonic_offset_ns, marker.boottime_offset_ns);
  run_program(initial_stack, marker);
}

}  // namespace stasis::runtime
