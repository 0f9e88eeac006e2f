// Rebuilds one process from a plan (wire/plan.h), in place of itself:
//
//    1  block every signal; move vvar, vdso and the report page into the window; unmap everything outside it (from here on
//       the stack is the one in bss)
//    2  map the plan, for which this may have to wait
//    3  move stdio, the done pipe and the table of ids out of the way, close all other fds; the process gets its ids
//    4  open the files to map
//    5  map the image; thread 1 begins with the working set; PR_SET_MM_MAP
//    6  actions; image ranges; SIGSYS handler; filter (its own calls pass by their instruction pointer)
//    7  clocks; working directory and umask; fds parked, then placed; epolls filled
//    8  threads, each up to the gate; POSIX timers; the main thread likewise; limits
//    9  timers armed; report and done pipe closed; gate open; rt_sigreturn
//
// All or nothing: up to the gate every failure ends the process with a report, and no instruction of the program has
// run.
#include "runtime/restore.h"

#include <linux/auxvec.h>
#include <linux/mman.h>
#include <linux/prctl.h>

#include "runtime/filter.h"
#include "runtime/ids.h"
#include "runtime/signals.h"
#include "runtime/start.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/vdso.h"

extern "C" [[noreturn]] void stasis_enter_on_stack(void* stack_top, void (*function)());

namespace stasis::runtime {

namespace {

using wire::Step;

// The report page waits here while memory is cleared: the arena is not used before a checkpoint.
constexpr u64 kReportHome = wire::kParasiteArenaBase;

alignas(64) u8 g_stack[32768];

// Without an initial value (runtime.ld), which a Marker has.
union MarkerRoom {
  constexpr MarkerRoom() : none(0) {}
  u8 none;
  Marker marker;
} g_marker_room;
Marker& g_marker = g_marker_room.marker;

u64 g_sysinfo_ehdr;

struct PlanMessage {  // struct msghdr of recvmsg(2) and what it points to
  void* name;
  u32 name_bytes;
  const void* vector;
  u64 vector_count;
  void* control;
  u64 control_bytes;
  u32 flags;
};

struct ControlMessage {  // struct cmsghdr with one fd
  u64 bytes;
  i32 level;
  i32 type;
  i32 fd;
  i32 padding;
};

// The starter makes the plan while this process comes up.
void receive_plan() {
  constexpr u64 kHeaderBytes = 16;
  constexpr i32 kSocketLevel = 1, kRights = 1;  // SOL_SOCKET, SCM_RIGHTS
  if (g_marker.plan_socket < 0) return;
  u8 byte;
  const u64 vector[2] = {reinterpret_cast<u64>(&byte), sizeof byte};
  ControlMessage control{};
  PlanMessage message{nullptr, 0, vector, 1, &control, sizeof control, 0};
  const i64 got = must(raw_syscall(__NR_recvmsg, g_marker.plan_socket, &message, 0), Step::MapPlan);
  const bool has_fd =
      control.bytes == kHeaderBytes + sizeof control.fd && control.level == kSocketLevel && control.type == kRights;
  if (got != 1 || !has_fd) report_fail(Step::MapPlan, ECANCELED, 0, 0, nullptr);
  g_marker.plan_fd = control.fd;
}

void map_plan() {
  constexpr u32 kSeekEnd = 2;
  const i64 bytes = must(raw_syscall(__NR_lseek, g_marker.plan_fd, 0, kSeekEnd), Step::MapPlan);
  if (bytes < static_cast<i64>(sizeof(wire::Plan)) || bytes > static_cast<i64>(wire::kPlanMaxBytes)) {
    report_fail(Step::MapPlan, ENOEXEC, 0, 0, nullptr);
  }
  must(raw_syscall(__NR_mmap, wire::kPlanBase, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, g_marker.plan_fd,
                   0),
       Step::MapPlan);
  if (plan().magic != wire::kPlanMagic || plan().bytes != static_cast<u64>(bytes))
    report_fail(Step::MapPlan, ENOEXEC, 0, 0, nullptr);
  if (plan().version != wire::kPlanVersion) report_fail(Step::MapPlan, EPROTO, 0, 0, nullptr);
}

void block_signals() {
  constexpr u32 kSetMask = 2;  // SIG_SETMASK
  const u64 all = ~0UL;
  raw_syscall(__NR_rt_sigprocmask, kSetMask, &all, nullptr, sizeof all);
}

void clear_memory() {
  must(move_host_vdso(g_sysinfo_ehdr, {}), Step::MoveVdso, g_sysinfo_ehdr);
  reserve_window();
  move_report(kReportHome);
  must(raw_syscall(__NR_munmap, 0, wire::kWindowBase), Step::ClearMemory);
  must(raw_syscall(__NR_munmap, wire::kWindowEnd, wire::kUserTop - wire::kWindowEnd), Step::ClearMemory);
}

void mark_phase(u64 wire::Report::* field) {
  if (report_page() != nullptr) report_page()->*field = static_cast<u64>(host_clock_ns(kClockMonotonic));
}

// Gives the page of the report back to the window's reservation, which has no holes.
void close_report() {
  const bool had_page = report_page() != nullptr;
  report_done(g_marker);
  if (had_page) {
    raw_syscall(__NR_mmap, kReportHome, wire::kPageBytes, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  }
}

void restore_memory() {
  open_mapped_files();
  map_memory();
  start_working_set();
  set_memory_layout();
  mark_phase(&wire::Report::mapped_ns);
}

void restore_interposition() {
  set_actions();
  keep_image_semantics();
  must(install_handler(), Step::InstallHandler);
  must(install_filter(kPartBase | kPartRestored | g_marker.parts, parked_fd()), Step::InstallFilter);
  g_state.restored = 1;
  copy_string(g_state.exe_path, sizeof g_state.exe_path, plan_text(plan().exe_path));
  // Where Yama restricts tracing, any process of this user may still take a checkpoint (docs/adr/0006). EINVAL without
  // Yama.
  raw_syscall(__NR_prctl, PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
}

[[noreturn]] void restore() {
  mark_phase(&wire::Report::started_ns);
  block_signals();
  clear_memory();
  receive_plan();
  map_plan();
  move_inherited_fds(g_marker);
  place_process_ids();
  restore_memory();
  restore_interposition();
  set_clocks();
  set_directory();
  create_fds();
  place_fds();
  place_table(g_marker);
  mark_phase(&wire::Report::fds_ns);
  create_threads(1, plan().threads.count);
  end_working_set();
  create_timers();
  prepare_main_thread();
  set_process_settings();
  mark_phase(&wire::Report::threads_ns);
  arm_itimers();
  arm_timers();
  mark_phase(&wire::Report::resumed_ns);
  close_report();
  drop_inherited_fds();
  resume();
}

}  // namespace

i64 must(i64 result, Step step, u64 subject, u64 extent, const char* text) {
  if (is_error(result)) report_fail(step, result, subject, extent, text);
  return result;
}

i64 host_clock_ns(i32 clock) {
  i64 time[2] = {};
  raw_syscall(__NR_clock_gettime, clock, time);
  return time[0] * 1'000'000'000 + time[1];
}

void restore_process(u64* initial_stack, const Marker& marker) {
  g_marker = marker;  // its runtime_path points into a stack that is about to go; g_state has a copy
  g_marker.runtime_path = g_state.runtime_path;
  g_sysinfo_ehdr = auxiliary_value(initial_stack, AT_SYSINFO_EHDR);
  stasis_enter_on_stack(g_stack + sizeof g_stack, restore);
}

}  // namespace stasis::runtime
