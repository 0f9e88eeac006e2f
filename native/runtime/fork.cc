// fork(2), and clone(2) without CLONE_VM: trapped so that the child starts with marks of its own (state.h).
#include <linux/sched.h>

#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

i64 trapped_fork(Trap& trap) {
  i64 result;
  if (trap.number == __NR_fork) {
    result = raw_syscall(__NR_fork);
  } else {
    // The child runs on a copy of this frame first, so a new stack waits until the frame is left.
    result = raw_syscall(__NR_clone, trap.arguments[0], 0, trap.arguments[2], trap.arguments[3], trap.arguments[4]);
  }
  if (result == 0) {
    start_process();
    if (trap.number == __NR_clone && trap.arguments[1] != 0) trap.context->context.rsp = trap.arguments[1];
  }
  return result;
}

}  // namespace stasis::runtime
