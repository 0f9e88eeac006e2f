// wait4 and waitid. The kernel writes status, usage and siginfo to the program's memory itself; the ids in the result
// and in the siginfo are translated when the call has returned.
#include <linux/wait.h>

#include "runtime/ids.h"
#include "runtime/ids_complete.h"
#include "runtime/ids_target.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

// waitid's argument by its kind. A pidfd says itself whom it means, and group 0 is the caller's own (Linux 5.4).
u64 system_waited(u64 kind, u64 id) {
  switch (static_cast<u32>(kind)) {
    case P_PID:
      return system_argument(id, IdFor::Process);
    case P_PGID:
      return system_argument(id, IdFor::Group);
    default:
      return id;
  }
}

// A child that was reaped has no entry any more; one that was only looked at, or that stopped, keeps it (mark_ended asks
// the kernel).
u32 waited_for(u32 system_pid) {
  u32 virtual_pid = virtual_of(system_pid);
  mark_ended(system_pid);
  return virtual_pid;
}

}  // namespace

i64 trapped_wait(Trap& trap) {
  if (trap.number == __NR_wait4) {
    trap.arguments[0] = system_target_argument(trap.arguments[0]);
  } else {
    trap.arguments[1] = system_waited(trap.arguments[0], trap.arguments[1]);
  }
  return complete_wait(*trap.context, blocking_call(trap));
}

i64 complete_wait(const arch::KernelUcontext& program, i64 result) {
  if (program.context.rax == __NR_wait4) return result > 0 ? waited_for(static_cast<u32>(result)) : result;
  u64 info = program.context.rdx;
  if (result != 0 || info == 0) return result;
  // si_pid; 0 if WNOHANG found nobody.
  u64 address = info + kInfoPidOffset;
  u32 system_pid;
  if (read_program(&system_pid, address, sizeof system_pid) < 0 || system_pid == 0) return result;
  u32 virtual_pid = waited_for(system_pid);
  write_program(address, &virtual_pid, sizeof virtual_pid);
  return result;
}

}  // namespace stasis::runtime
