// From a call number to its second half (ids_complete.h). A call that has none keeps the kernel's result.
#include "runtime/ids_complete.h"

#include "runtime/ids.h"
#include "runtime/ipc_notes.h"
#include "runtime/net.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

i64 complete_call(const arch::KernelUcontext& program, i64 result) {
  const u64 number = program.context.rax;
  if (number == __NR_semop || number == __NR_semtimedop) return complete_semaphores(program, result);
  if (!ids_on()) return result;
  switch (program.context.rax) {  // the number: the kernel puts it back before it delivers the trap's SIGSYS
    case __NR_wait4:
    case __NR_waitid:
      return complete_wait(program, result);
    case __NR_rt_sigtimedwait:
      return complete_sigtimedwait(program, result);
    case __NR_read:
    case __NR_readv:
    case __NR_preadv2:
      return complete_signalfd_read(program, result);
    case __NR_accept:
    case __NR_accept4:
    case __NR_recvfrom:
      return complete_address(program, result);
    case __NR_sendmmsg:
    case __NR_recvmsg:
    case __NR_recvmmsg:
      if (is_net_message(program.context.rdi)) return complete_net_message(program, result);
      return complete_message(program, result);
    case __NR_futex:
      return complete_futex(program, result);
    default:
      return result;
  }
}

}  // namespace stasis::runtime
