// Calls that carry a signal mask. SIGSYS is taken out of every mask, since a trap while it is blocked kills the process
// (kernel/signal.c, force_sig_info). What the program sees as its mask is the mask in the SIGSYS frame.
#include <asm/signal.h>

#include "runtime/program_memory.h"
#include "runtime/signals.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

extern "C" [[noreturn]] void stasis_sigreturn(stasis::u64 ucontext);

namespace stasis::runtime {

namespace {

constexpr u64 kUnblockable = 1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1);

struct MaskArgument {  // what pselect6 and io_pgetevents point to
  u64 mask;
  u64 bytes;
};

}  // namespace

i64 trapped_sigprocmask(Trap& trap) {
  if (trap.arguments[3] != 8) return -EINVAL;
  u64 before = trap.context->signal_mask;
  if (trap.arguments[1] != 0) {
    u64 set;
    if (read_program(&set, trap.arguments[1], sizeof set) < 0) return -EFAULT;
    set &= ~(kSignalSysBit | kUnblockable);
    switch (static_cast<i32>(trap.arguments[0])) {
      case SIG_BLOCK:
        trap.context->signal_mask = before | set;
        break;
      case SIG_UNBLOCK:
        trap.context->signal_mask = before & ~set;
        break;
      case SIG_SETMASK:
        trap.context->signal_mask = set;
        break;
      default:
        return -EINVAL;
    }
  }
  if (trap.arguments[2] == 0) return 0;
  return write_program(trap.arguments[2], &before, sizeof before);
}

i64 trapped_masked_call(Trap& trap) {
  u64 mask;
  MaskArgument argument;
  u64* pointer;  // to the program's mask; replaced by ours
  u64 mask_bytes;
  switch (trap.number) {
    case __NR_rt_sigsuspend:
      pointer = &trap.arguments[0];
      mask_bytes = trap.arguments[1];
      break;
    case __NR_ppoll:
      pointer = &trap.arguments[3];
      mask_bytes = trap.arguments[4];
      break;
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2:
      pointer = &trap.arguments[4];
      mask_bytes = trap.arguments[5];
      break;
    default:  // pselect6, io_pgetevents
      if (read_program(&argument, trap.arguments[5], sizeof argument) < 0) return -EFAULT;
      pointer = &argument.mask;
      mask_bytes = argument.bytes;
      trap.arguments[5] = reinterpret_cast<u64>(&argument);
  }
  // With another size the kernel answers EINVAL before it reads the mask.
  if (*pointer != 0 && mask_bytes == sizeof mask) {
    if (read_program(&mask, *pointer, sizeof mask) < 0) return -EFAULT;
    mask &= ~kSignalSysBit;
    *pointer = reinterpret_cast<u64>(&mask);
  }
  return blocking_call(trap);
}

i64 trapped_sigreturn(Trap& trap) {
  u64 frame = trap.context->context.rsp;  // rt_sigreturn takes the ucontext at the top of the stack
  u64 mask_address = frame + __builtin_offsetof(arch::KernelUcontext, signal_mask);
  u64 mask;
  if (read_program(&mask, mask_address, sizeof mask) == 0 && (mask & kSignalSysBit) != 0) {
    mask &= ~kSignalSysBit;
    write_program(mask_address, &mask, sizeof mask);
  }
  stasis_sigreturn(frame);  // an unreadable frame becomes SIGSEGV there, as it would have
}

}  // namespace stasis::runtime
