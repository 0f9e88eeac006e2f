// The processes of an application, forked down the tree before any memory is mapped. Each task makes its children in the
// order of the plan, and goes on as one of them itself in each child:
//
//    1  children that are to be in the session it is born in
//    2  setsid, PR_SET_CHILD_SUBREAPER, setpgid, as it had done
//    3  the other children, its helpers and zombies
//    4  meeting Born; a process group that another task leads is joined; meeting Grouped
//    5  helpers and zombies end. Their makers see that later (settle_children), so that nobody waits who has work
//
// An orphan is made by the first process with CLONE_PARENT, so that it is the keeper's child. A helper stands for the
// leader of a session or group that had ended before the checkpoint: the members are its children, or its siblings, and
// when it ends they stay in what it led.
//
// Whoever waits while it is not its maker's child any more ends: its maker is dead (restore_board.cc). The first process
// ends with the keeper.
#include <asm/signal.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/time.h>
#include <linux/wait.h>

#include "runtime/ids.h"
#include "runtime/restore.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::Meeting;
using wire::Step;
using wire::TaskEntry;
using wire::TaskKind;

constexpr u32 kFailureStatus = 126;
constexpr i64 kHelperDeadlineNs = 20'000'000'000;
constexpr i64 kKeeperDeadlineNs = 5'000'000'000;
constexpr i64 kPauseNs = 50'000, kLongestPauseNs = 5'000'000;

u32 g_parent;  // system id of whoever is to be this task's parent, 0: not known yet
u32 g_keeper;  // likewise of the first process's

bool has(u32 flag) { return (task().flags & flag) != 0; }

const TaskEntry& entry_of(u32 index) { return plan_entries<TaskEntry>(group().tasks)[index]; }

// The caller has become the task.
void begin_task(u32 index) {
  become_task(index);
  report_process(task().pid);
  if (index == 0 || has(wire::kTaskOrphan)) {
    g_parent = g_keeper;
  } else {
    g_parent = has(wire::kTaskOfHelper) ? 0 : board_task(task().maker)->pid;
  }
  board_task(index)->pid = static_cast<u32>(raw_syscall(__NR_getpid));
  place_process_ids();
}

// True in the child.
bool make_task(u32 index) {
  const TaskEntry& entry = entry_of(index);
  const bool orphan = (entry.flags & wire::kTaskOrphan) != 0;
  const u64 flags = orphan ? CLONE_PARENT : static_cast<u64>(entry.exit_signal);
  const i64 pid = must(raw_syscall(__NR_clone, flags, 0, 0, 0, 0), Step::MakeTask, static_cast<u64>(entry.pid));
  if (pid != 0) {
    board_task(index)->pid = static_cast<u32>(pid);  // both tell, since either may be asked first
    return false;
  }
  start_forked_process();
  begin_task(index);
  return true;
}

// True in each of the children.
bool make_children(u32 selected) {
  const u32 end = task().first_child + task().child_count;
  for (u32 i = task().first_child; i < end; i++) {
    if ((entry_of(i).flags & wire::kTaskBeforeSetsid) == selected && make_task(i)) return true;
  }
  return false;
}

void lead() {
  const auto pid = static_cast<u64>(task().pid);
  if (has(wire::kTaskLeadsSession)) must(raw_syscall(__NR_setsid), Step::SetSession, pid);
  take_terminal(task().terminal_slot);  // before the children are made, which inherit it
  if (has(wire::kTaskSubreaper | wire::kTaskReapsHelpers))
    must(raw_syscall(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), Step::MakeTask, pid);
  if (has(wire::kTaskLeadsGroup)) must(raw_syscall(__NR_setpgid, 0, 0), Step::SetGroup, pid);
  board_task(task_index())->group = static_cast<u32>(raw_syscall(__NR_getpgid, 0));
}

void join_group() {
  if (task().group_task == wire::kNoTask) return;
  wait_for(Meeting::Born);
  must(raw_syscall(__NR_setpgid, 0, board_task(task().group_task)->group), Step::SetGroup,
       static_cast<u64>(task().group_id));
}

// As it had ended: by a signal or with a status.
[[noreturn]] void end_as_zombie() {
  const u32 signal = static_cast<u32>(task().exit_status) & 0x7f;
  raw_syscall(__NR_prctl, PR_SET_NAME, task().name, 0, 0, 0);
  if (signal != 0) {
    const u64 none[2] = {0, 0};  // no core file
    raw_syscall(__NR_prlimit64, 0, RLIMIT_CORE, none, nullptr);
    const wire::KernelSigaction standard = {};
    raw_syscall(__NR_rt_sigaction, signal, &standard, nullptr, sizeof standard.mask);
    const i64 pid = raw_syscall(__NR_getpid);
    raw_syscall(__NR_tgkill, pid, pid, signal);
    const u64 mask = 0;
    raw_syscall(__NR_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, sizeof mask);
  }
  for (;;) raw_syscall(__NR_exit_group, static_cast<u32>(task().exit_status) >> 8 & 0xff);
}

[[noreturn]] void end_task() {
  wait_for(Meeting::Grouped);
  if (task().kind == TaskKind::Zombie) end_as_zombie();
  for (;;) raw_syscall(__NR_exit_group, 0);
}

struct ChildInfo {  // siginfo_t of waitid(2)
  i32 signal, error, code, padding, pid, uid, status;
  u8 rest[100];
};
static_assert(sizeof(ChildInfo) == 128);

// The id of the child if it is as `options` ask, else 0 or -errno.
i64 wait_for_child(u32 index, u32 options) {
  constexpr u32 kOnePid = 1;  // P_PID
  ChildInfo info{};
  const i64 result =
      raw_syscall(__NR_waitid, kOnePid, board_task(index)->pid, &info, options | static_cast<u32>(__WALL), nullptr);
  return is_error(result) ? result : info.pid;
}

// A member of a helper's session becomes the child of the subreaper above when the helper ends.
void await_end_of_helper() {
  const auto helper = static_cast<i64>(board_task(task().maker)->pid);
  const i64 deadline = host_clock_ns(kClockMonotonic) + kHelperDeadlineNs;
  i64 pause_ns =
      kPauseNs;  // longer and longer, lest hundreds that wait keep the processors from those that they wait for
  while (raw_syscall(__NR_getppid) == helper) {
    if (host_clock_ns(kClockMonotonic) > deadline)
      report_fail(Step::Meet, ETIMEDOUT, static_cast<u64>(task().pid), 0, nullptr);
    const i64 pause[2] = {0, pause_ns};
    raw_syscall(__NR_nanosleep, pause, nullptr);
    if (pause_ns < kLongestPauseNs) pause_ns *= 2;
  }
  g_parent = static_cast<u32>(raw_syscall(__NR_getppid));
}

}  // namespace

void begin_tree() {
  if (!ids_on()) report_fail(Step::MapIds, EINVAL, 0, 0, nullptr);
  // Without its keeper an application that is half made would be nobody's. It may have died before the call, or it may
  // not have come so far as to give its name.
  raw_syscall(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  const i64 deadline = host_clock_ns(kClockMonotonic) + kKeeperDeadlineNs;
  while ((g_keeper = __atomic_load_n(&id_table().header()->keeper_pid, __ATOMIC_ACQUIRE)) == 0 &&
         host_clock_ns(kClockMonotonic) < deadline) {
    const i64 pause[2] = {0, kPauseNs};
    raw_syscall(__NR_nanosleep, pause, nullptr);
  }
  if (raw_syscall(__NR_getppid) != static_cast<i64>(g_keeper)) end_quietly();
}

void build_tree() {
  if (!has_several_tasks()) return place_process_ids();
  // Inherited it may be ignored, and then no child becomes a zombie.
  const wire::KernelSigaction standard = {};
  raw_syscall(__NR_rt_sigaction, SIGCHLD, &standard, nullptr, sizeof standard.mask);
  begin_task(0);
  for (;;) {
    if (make_children(wire::kTaskBeforeSetsid)) continue;
    lead();
    if (!make_children(0)) break;
  }
  arrive(Meeting::Born);
  join_group();
  arrive(Meeting::Grouped);
  if (task().kind != TaskKind::Process) end_task();
}

void settle_children() {
  if (!has_several_tasks()) return;
  for (u32 i = task().first_child; i < task().first_child + task().child_count; i++) {
    const wire::BoardTask& child = *board_task(i);
    if (child.kind == TaskKind::Process || (child.flags & wire::kTaskOrphan) != 0) continue;
    const u32 options = child.kind == TaskKind::Zombie ? WEXITED | WNOWAIT : WEXITED;
    must(wait_for_child(i, options), Step::MakeTask, static_cast<u64>(child.id));
  }
  if (has(wire::kTaskOfHelper)) await_end_of_helper();
}

// They stop as the last thing before the gate. Their maker was told of it long ago, so it is told here, in its program's
// place; and the SIGCHLDs go the way of those of zombies.
void settle_stopped_children() {
  bool any = false;
  for (u32 i = task().first_child; i < task().first_child + task().child_count; i++) {
    const wire::BoardTask& child = *board_task(i);
    if ((child.flags & wire::kTaskStopped) == 0 || (child.flags & wire::kTaskOrphan) != 0) continue;
    any = true;
    must(wait_for_child(i, WSTOPPED | WEXITED | WNOWAIT), Step::MakeTask, static_cast<u64>(child.id));
    if (wait_for_child(i, WSTOPPED | WNOHANG) <= 0)
      report_fail(Step::Meet, ECHILD, static_cast<u64>(child.id), 0, nullptr);
  }
  if (!any) return;
  wire::KernelSigaction action;
  const wire::KernelSigaction ignored = {.handler = 1, .flags = 0, .restorer = 0, .mask = 0};  // SIG_IGN
  raw_syscall(__NR_rt_sigaction, SIGCHLD, &ignored, &action, sizeof action.mask);
  raw_syscall(__NR_rt_sigaction, SIGCHLD, &action, nullptr, sizeof action.mask);
}

bool is_stopped() { return has(wire::kTaskStopped); }

void stop() {
  const i64 pid = raw_syscall(__NR_getpid);
  raw_syscall(__NR_tgkill, pid, pid, SIGSTOP);
}

void check_relatives() {
  if (report_has_failed()) end_quietly();
  // Told, so that the others need not wait for their own parents to end.
  if (g_parent != 0 && raw_syscall(__NR_getppid) != static_cast<i64>(g_parent))
    report_fail(Step::Meet, ECHILD, static_cast<u64>(task().pid), 0, nullptr);
  if (!has_several_tasks()) return;
  for (u32 i = task().first_child; i < task().first_child + task().child_count; i++) {
    const wire::BoardTask& child = *board_task(i);
    if (child.kind != TaskKind::Process || __atomic_load_n(&child.pid, __ATOMIC_ACQUIRE) == 0) continue;
    if (wait_for_child(i, WEXITED | WNOHANG | WNOWAIT) > 0)
      report_fail(Step::Meet, ECHILD, static_cast<u64>(child.id), 0, nullptr);
  }
}

void set_parent_death_signal() {
  // The first process's is set in leave_tree: until then it is to end with the keeper.
  if (task_index() != 0 && task().parent_death_signal != 0)
    must(raw_syscall(__NR_prctl, PR_SET_PDEATHSIG, task().parent_death_signal, 0, 0, 0), Step::MakeTask,
         static_cast<u64>(task().pid));
}

void leave_tree() {
  if (has(wire::kTaskReapsHelpers) && !has(wire::kTaskSubreaper))
    raw_syscall(__NR_prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  if (task_index() == 0) raw_syscall(__NR_prctl, PR_SET_PDEATHSIG, task().parent_death_signal, 0, 0, 0);
}

void end_quietly() {
  for (;;) raw_syscall(__NR_exit_group, kFailureStatus);
}

}  // namespace stasis::runtime
