// Rebuilds an application from a plan (wire/plan.h), in place of itself and of processes that it forks:
//
//    1  block every signal; move vvar, vdso and the report page into the window; unmap everything outside it (from here on
//       the stack is the one in bss)
//    2  map the group's plan, for which this may have to wait
//    3  move stdio, the done pipe and the table of ids out of the way, close all other fds; the image's ids are reserved
//    4  of several processes: handler and filter, which children inherit (the runtime's own calls pass by their
//       instruction pointer)
//    5  what processes share: open file descriptions, parked above all numbers of the program, epolls filled; segments
//    6  the tree is forked (restore_tree.cc); each process gets its ids
//    each process then:
//    7  maps its own plan in the group's place; the first one has filled the segments
//    8  opens the files to map; maps the image; thread 1 begins with the working set; PR_SET_MM_MAP; the last seals
//    9  actions; image ranges; SIGSYS handler; filter
//   10  working directory and umask; fds put into place
//   11  threads, each up to the gate; POSIX timers; the main thread likewise; limits
//   12  all processes meet; TCP connections that were held go on (restore_held.cc); the first one marks the report and opens the gate of all
//   13  timers; report and done pipe closed; gate of the process's threads open; rt_sigreturn
//
// All or nothing: up to the gate every failure ends all processes with a report, and no instruction of the program has
// run. Nothing behind it can fail.
#include "runtime/restore.h"

#include <linux/auxvec.h>
#include <linux/mman.h>
#include <linux/prctl.h>

#include "runtime/filter.h"
#include "runtime/ids.h"
#include "runtime/restore_sockets.h"
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

alignas(64) u8 g_stack[32768];

// Without an initial value (runtime.ld), which a Marker has.
union MarkerRoom {
  constexpr MarkerRoom() : none(0) {}
  u8 none;
  Marker marker;
} g_marker_room;
Marker& g_marker = g_marker_room.marker;

u64 g_sysinfo_ehdr;

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
  if (report_page() != nullptr && task_index() == 0)
    report_page()->*field = static_cast<u64>(host_clock_ns(kClockMonotonic));
}

// Gives the page of the report back to the window's reservation, which has no holes.
void end_report() {
  const bool had_page = report_page() != nullptr;
  close_report(g_marker);
  g_marker.done_fd = -1;
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

void install_interposition() {
  must(install_handler(), Step::InstallHandler);
  must(install_filter(kPartBase | kPartRestored | g_marker.parts, parked_fd()), Step::InstallFilter);
}

// The filter costs each call of the runtime's own a little, and its installation as much as some hundred calls.
void install_for_all() {
  if (has_several_tasks()) install_interposition();
}

void restore_interposition() {
  set_actions();
  keep_image_semantics();
  if (has_several_tasks()) {
    must(install_handler(), Step::InstallHandler);
  } else {
    install_interposition();
  }
  g_state.restored = 1;
  copy_string(g_state.exe_path, sizeof g_state.exe_path, plan_text(plan().exe_path));
  // Where Yama restricts tracing, any process of this user may still take a checkpoint (docs/adr/0006). EINVAL without
  // Yama.
  raw_syscall(__NR_prctl, PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
}

// What is made once, by the first process while it is alone.
void restore_shared() {
  move_inherited_fds(g_marker);
  reserve_ids();
  open_board();
  install_for_all();
  set_directory(group().cwd, group().umask);
  create_segments();
  create_fds();
  create_system_v();
}

void restore_own() {
  if (task_index() == 0) fill_segments();
  map_own_plan(g_marker);
  restore_memory();
  seal_segments();
  settle_children();
  restore_interposition();
  set_directory(plan().cwd, plan().umask);
  open_pidfds();
  set_foreground_group();
  place_fds();
  place_table(g_marker);
  restore_undo();
  mark_phase(&wire::Report::fds_ns);
  wait_for(wire::Meeting::Born);  // senders of queued signals are processes of the tree
  settle_stopped_children();
  create_threads(1, plan().threads.count);
  end_working_set();
  create_timers();
  note_own_filters();
  prepare_main_thread();
  set_process_settings();
  set_parent_death_signal();
  drop_inherited_fds(g_marker);
  set_process_locks();
  mark_phase(&wire::Report::threads_ns);
}

void pass_gate_together() {
  if (task_index() != 0) {
    // Stopped it would keep the others from seeing the end of the done pipe.
    if (is_stopped()) end_report();
    arrive(wire::Meeting::Ready);
    if (is_stopped()) stop();
    return pass_gate();
  }
  arrive(wire::Meeting::Ready);
  wait_for(wire::Meeting::Ready);
  let_connections_go();
  set_clocks();
  remove_marked_segments();
  set_stdio_terminal();
  mark_phase(&wire::Report::resumed_ns);
  report_done();
  open_gate();
}

[[noreturn]] void restore() {
  mark_phase(&wire::Report::started_ns);
  block_signals();
  clear_memory();
  receive_plan(g_marker);
  map_group_plan(g_marker);
  begin_tree();
  restore_shared();
  build_tree();
  restore_own();
  pass_gate_together();
  arm_itimers();
  arm_timers();
  leave_tree();
  close_board();
  end_report();
  if (is_stopped() && task_index() == 0) stop();
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
