// Calls that carry a signal mask. SIGSYS is taken out of every mask, since a trap while it is blocked kills the process
// (kernel/signal.c, force_sig_info). What the program sees as its mask is the mask in the SIGSYS frame, and where ids are
// translated SIGSYS with it (sigsys_mask.h).
#include <asm/signal.h>

#include "runtime/fast_call.h"
#include "runtime/ids.h"
#include "runtime/program_memory.h"
#include "runtime/signals.h"
#include "runtime/sigsys_mask.h"
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

namespace {

// The signal that waited for its unblocking is sent again, to be delivered before the call returns to the program.
void deliver_held(Trap& trap) {
  u8 info[kSignalInfoBytes];
  if (!take_held_sigsys(info)) return;
  const u64 arguments[6] = {static_cast<u64>(raw_syscall(__NR_getpid)), static_cast<u64>(raw_syscall(__NR_gettid)),
                            kSignalSys, reinterpret_cast<u64>(info)};
  if (trap.number == __NR_rt_sigreturn) {
    // There is no call to come back from: its handler runs here, on top of the one that is returning.
    raw_syscall(__NR_rt_tgsigqueueinfo, arguments[0], arguments[1], arguments[2], arguments[3]);
  } else {
    stasis_blocking_call(trap.context, __NR_rt_tgsigqueueinfo, arguments);
  }
}

}  // namespace

namespace {

enum : u64 { kViewOpen = 1, kViewUpdated = 2 };  // of FastCall::issued
constexpr u64 kUnknown = ~0UL;                   // no thread has such a mask: KILL and STOP are never in one

// FastCall::note: the thread, and whether it believed SIGSYS blocked.
u64 note_of(u32 thread, bool blocked) { return static_cast<u64>(thread) << 1 | (blocked ? 1 : 0); }
bool was_blocked(const FastCall& call) { return (call.note & 1) != 0; }

bool can_block(const arch::KernelSigcontext& registers) {
  return registers.rsi != 0 && static_cast<i32>(registers.rdi) != SIG_UNBLOCK;
}

// The kernel reads and writes the program's masks, and SIGSYS is taken back out of the thread's. In between nothing of
// the program runs in this thread (handlers.cc).
i64 change_mask_directly(Trap& trap, FastCall* call) {
  if (ids_on()) {
    const u32 thread = sigsys_thread();
    call->note = note_of(thread, sigsys_blocked(thread));
    call->program.signal_mask = kUnknown;
    // What the set says of SIGSYS could not be told afterwards; and a signal that was held would have to be sent.
    const bool unblocks = trap.arguments[1] != 0 && static_cast<i32>(trap.arguments[0]) == SIG_UNBLOCK;
    if (was_blocked(*call) && (unblocks || sigsys_held())) give_up_fast_call();
  }
  stasis_fast_issue(__NR_rt_sigprocmask, trap.arguments);
  return finish_mask_change(call, nullptr);
}

// A refused call has changed nothing; but behind a bad address for the old mask it has (kernel/signal.c).
bool has_changed(const FastCall& call) {
  u64 set;
  if (call.result != -EFAULT) return call.result == 0;
  return call.program.context.rsi == 0 || read_program(&set, call.program.context.rsi, sizeof set) == 0;
}

// What the program sees of SIGSYS in its masks. call.program.signal_mask is the thread's, with SIGSYS as the program has
// asked for it.
void update_view(const FastCall& call) {
  const arch::KernelSigcontext& registers = call.program.context;
  const bool before = was_blocked(call), asked = (call.program.signal_mask & kSignalSysBit) != 0;
  if (can_block(registers)) {
    const bool after = asked || (before && static_cast<i32>(registers.rdi) == SIG_BLOCK);
    if (after != before) set_sigsys_blocked(after, static_cast<u32>(call.note >> 1));
  }
  if (before && registers.rdx != 0 && call.result == 0) *reinterpret_cast<u64*>(registers.rdx) |= kSignalSysBit;
}

}  // namespace

i64 finish_mask_change(FastCall* call, u64* interrupted_mask) {
  if (can_block(call->program.context)) {
    u64* before = interrupted_mask == nullptr && ids_on() ? &call->program.signal_mask : nullptr;
    if (interrupted_mask != nullptr && call->program.signal_mask == kUnknown) {
      call->program.signal_mask = *interrupted_mask;
    }
    const u64 bit = kSignalSysBit;
    raw_syscall(__NR_rt_sigprocmask, SIG_UNBLOCK, &bit, before, sizeof bit);
    if (interrupted_mask != nullptr) *interrupted_mask &= ~bit;
  }
  if (ids_on() && call->issued == kViewOpen) {
    if (has_changed(*call)) update_view(*call);
    __atomic_store_n(&call->issued, kViewUpdated, __ATOMIC_RELEASE);
  }
  return call->result;
}

i64 trapped_sigprocmask(Trap& trap) {
  if (trap.arguments[3] != 8) return -EINVAL;
  if (FastCall* call = fast_call()) return change_mask_directly(trap, call);
  u64 before = trap.context->signal_mask;
  if (ids_on() && sigsys_blocked()) before |= kSignalSysBit;
  u64 after = before;
  if (trap.arguments[1] != 0) {
    u64 set;
    if (read_program(&set, trap.arguments[1], sizeof set) < 0) return -EFAULT;
    set &= ~kUnblockable;
    switch (static_cast<i32>(trap.arguments[0])) {
      case SIG_BLOCK:
        after = before | set;
        break;
      case SIG_UNBLOCK:
        after = before & ~set;
        break;
      case SIG_SETMASK:
        after = set;
        break;
      default:
        return -EINVAL;
    }
    trap.context->signal_mask = after & ~kSignalSysBit;
    if (ids_on() && ((before ^ after) & kSignalSysBit) != 0) set_sigsys_blocked((after & kSignalSysBit) != 0);
  }
  // As the kernel, which changes the mask before it finds that it cannot write the old one.
  const i64 result = trap.arguments[2] == 0 ? 0 : write_program(trap.arguments[2], &before, sizeof before);
  if (result == 0 && (before & ~after & kSignalSysBit) != 0 && ids_on()) deliver_held(trap);
  return result;
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
  if (read_program(&mask, mask_address, sizeof mask) == 0) {
    const bool blocked = (mask & kSignalSysBit) != 0;
    if (ids_on()) set_sigsys_blocked(blocked);
    if (ids_on() && !blocked) deliver_held(trap);
    if (blocked) {
      mask &= ~kSignalSysBit;
      write_program(mask_address, &mask, sizeof mask);
    }
  }
  stasis_sigreturn(frame);  // an unreadable frame becomes SIGSEGV there, as it would have
}

}  // namespace stasis::runtime
