// Calls that ask for ids or name a process, group or thread by number, and return at once: own ids, groups and sessions,
// scheduling, priorities, limits, other processes' memory.
#include <linux/ioprio.h>
#include <linux/perf_event.h>
#include <linux/prctl.h>
#include <linux/resource.h>

#include "runtime/ids.h"
#include "runtime/ids_target.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

// A call that only asks, whose result is translated behind it: it may be made again.
i64 issue_again(const Trap& trap) { return raw_syscall(static_cast<i64>(trap.number), trap.arguments[0]); }

i64 set_group(Trap& trap) {
  i32 virtual_pid = static_cast<i32>(trap.arguments[0]), virtual_group = static_cast<i32>(trap.arguments[1]);
  if (virtual_pid < 0 && virtual_group == 0) return -EINVAL;  // the kernel takes the pid for the group as well
  trap.arguments[0] = verified_argument(trap.arguments[0]);
  trap.arguments[1] = system_argument(trap.arguments[1], IdFor::Group);
  return issue_once(trap);
}

// getpriority and setpriority, ioprio_get and ioprio_set: `which` says what the number in the second argument is.
i64 priority_call(Trap& trap, u32 process, u32 group) {
  u32 which = static_cast<u32>(trap.arguments[0]);
  if (which == process) {
    trap.arguments[1] = verified_argument(trap.arguments[1]);
  } else if (which == group) {
    trap.arguments[1] = system_argument(trap.arguments[1], IdFor::Group);
  }
  return issue_once(trap);
}

i64 process_control(Trap& trap) {
  if (static_cast<u32>(trap.arguments[0]) == PR_SET_SECCOMP) return trapped_seccomp(trap);
  if (static_cast<u32>(trap.arguments[0]) == PR_SET_PTRACER) {
    // A whole register: PR_SET_PTRACER_ANY is all ones.
    if (trap.arguments[1] != PR_SET_PTRACER_ANY) trap.arguments[1] = verified_argument(trap.arguments[1]);
  } else {
    constexpr u64 kScopeGroup = PR_SCHED_CORE_SCOPE_PROCESS_GROUP;
    trap.arguments[2] = static_cast<u32>(trap.arguments[3]) == kScopeGroup
                            ? system_argument(trap.arguments[2], IdFor::Group)
                            : verified_argument(trap.arguments[2]);
  }
  return issue_once(trap);
}

// Copies that may wait for pages.
i64 memory_call(Trap& trap) {
  trap.arguments[0] = verified_argument(trap.arguments[0]);
  return blocking_call(trap);
}

i64 own_id(u64 number, IdFor what) { return virtual_result(raw_syscall(static_cast<i64>(number)), what); }

}  // namespace

i64 trapped_identity(Trap& trap) {
  switch (trap.number) {
    case __NR_getpid:
      return own_virtual_pid();
    case __NR_gettid:
      return virtual_of_own(static_cast<u32>(raw_syscall(__NR_gettid)));
    case __NR_getppid:
      return own_id(trap.number, IdFor::Process);
    case __NR_getpgrp:
      return own_id(trap.number, IdFor::Group);
    case __NR_setsid:
      return own_id(trap.number, IdFor::Session);
    case __NR_set_tid_address:
      return virtual_result(issue_again(trap));
    case __NR_getpgid:
      trap.arguments[0] = system_argument(trap.arguments[0]);
      return virtual_result(issue_again(trap), IdFor::Group);
    case __NR_getsid:
      trap.arguments[0] = system_argument(trap.arguments[0]);
      return virtual_result(issue_again(trap), IdFor::Session);
    case __NR_setpgid:
      return set_group(trap);
    case __NR_getpriority:
    case __NR_setpriority:
      return priority_call(trap, PRIO_PROCESS, PRIO_PGRP);
    case __NR_ioprio_get:
    case __NR_ioprio_set:
      return priority_call(trap, IOPRIO_WHO_PROCESS, IOPRIO_WHO_PGRP);
    case __NR_process_vm_readv:
    case __NR_process_vm_writev:
    case __NR_move_pages:
    case __NR_migrate_pages:
      return memory_call(trap);
    case __NR_kcmp:
      trap.arguments[0] = verified_argument(trap.arguments[0]);
      trap.arguments[1] = verified_argument(trap.arguments[1]);
      return issue_once(trap);
    case __NR_perf_event_open:
      // A cgroup is named by a descriptor.
      if ((trap.arguments[4] & PERF_FLAG_PID_CGROUP) == 0) trap.arguments[1] = verified_argument(trap.arguments[1]);
      return issue_once(trap);
    case __NR_prctl:
      return process_control(trap);
    default:  // sched_*, prlimit64, get_robust_list, pidfd_open: the first argument is a process or thread
      trap.arguments[0] = verified_argument(trap.arguments[0]);
      return issue_once(trap);
  }
}

}  // namespace stasis::runtime
