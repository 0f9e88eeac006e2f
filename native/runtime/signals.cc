// Actions of signals and the way into a program's handler (see signals.h, arch/x86_64/thunks.S).
//
// Each distinct handler has one thunk for the life of the process; the kernel holds the thunk with the program's own
// flags, mask and restorer. So the kernel stays the authority on actions, which keeps SA_RESETHAND, exec and vfork
// children right, and g_state.actions follows for the checkpoint. A handler has another thunk when it is set with
// SA_SIGINFO: only then does the kernel fill in the frame's siginfo, whose ids are to be translated.
#include "runtime/signals.h"

#include <asm/signal.h>

#include "runtime/births.h"
#include "runtime/ids.h"
#include "runtime/ids_complete.h"
#include "runtime/program_memory.h"
#include "runtime/scratch.h"
#include "runtime/sigsys_mask.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

constexpr u32 kThunkCount = 4096;
constexpr u32 kSharedThunks = kThunkCount - 2 * wire::kSignalCount;  // the rest: two for each signal
constexpr u32 kThunkBytes = 16;
constexpr u64 kHandlerDefault = 0;
constexpr u64 kHandlerIgnore = 1;
constexpr u64 kUnblockable = 1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1);
constexpr u64 kResetHand = 0x80000000;
constexpr u64 kOnStack = 0x08000000;
constexpr u64 kRestart = 0x10000000;
constexpr u32 kStackDisabled = 2;  // SS_DISABLE

}  // namespace

extern "C" {
extern const char stasis_thunks[], stasis_thunks_end[];
u64 stasis_thunk_handlers[kThunkCount];  // 0 until taken; the shared ones then never change
extern const u64 stasis_handler_mask;
const u64 stasis_handler_mask = kHandlerMask;  // read by blocking.S
}

namespace {

// The thunk of `handler`, with an odd number if it gets a siginfo. When all are taken, one that belongs to the signal and
// changes with its handler.
u64 thunk_of(u32 signal, u64 handler, u64 flags) {
  const u32 odd = (flags & SA_SIGINFO) != 0 ? 1 : 0;
  u32 i = odd;
  for (; i < kSharedThunks; i += 2) {
    u64 present = __atomic_load_n(&stasis_thunk_handlers[i], __ATOMIC_ACQUIRE);
    if (present == 0 && __atomic_compare_exchange_n(&stasis_thunk_handlers[i], &present, handler, false,
                                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      present = handler;
    }
    if (present == handler) break;
  }
  if (i >= kSharedThunks) {
    i = kSharedThunks + 2 * (signal - 1) + odd;
    __atomic_store_n(&stasis_thunk_handlers[i], handler, __ATOMIC_RELEASE);
  }
  return reinterpret_cast<u64>(stasis_thunks) + i * kThunkBytes;
}

u64 handler_of(u64 thunk) {
  u64 offset = thunk - reinterpret_cast<u64>(stasis_thunks);
  return offset < kThunkCount * kThunkBytes ? stasis_thunk_handlers[offset / kThunkBytes] : thunk;
}

// A thread that changes an action has its signals blocked and does two system calls at most, so the wait is short.
void lock_action(u32 signal) {
  while (__atomic_exchange_n(&g_process.action_locks[signal - 1], 1, __ATOMIC_ACQUIRE) != 0)
    raw_syscall(__NR_sched_yield);
}

void unlock_action(u32 signal) { __atomic_store_n(&g_process.action_locks[signal - 1], 0, __ATOMIC_RELEASE); }

void record_action(u32 signal, const wire::KernelSigaction& action) {
  wire::KernelSigaction* recorded = &g_state.actions[signal - 1];
  *recorded = action;
  recorded->mask &= ~kUnblockable;  // as the kernel does
  __atomic_or_fetch(&g_state.actions_known, 1UL << (signal - 1), __ATOMIC_RELEASE);
}

i64 change_action(u32 signal, const wire::KernelSigaction* action, wire::KernelSigaction* old) {
  wire::KernelSigaction registered{}, before{};
  if (action != nullptr) {
    registered = *action;
    registered.mask &= ~kSignalSysBit;
    if (registered.handler > kHandlerIgnore)
      registered.handler = thunk_of(signal, registered.handler, registered.flags);
  }
  i64 result = raw_syscall(__NR_rt_sigaction, signal, action != nullptr ? &registered : nullptr, &before, 8);
  if (result < 0) return result;
  if (old != nullptr) {
    *old = before;
    old->handler = handler_of(before.handler);
    // The program sees SIGSYS in the mask again if that is how it set the action.
    const wire::KernelSigaction& recorded = g_state.actions[signal - 1];
    if (recorded.handler == old->handler && (recorded.mask & ~kSignalSysBit) == old->mask) old->mask = recorded.mask;
  }
  return 0;
}

}  // namespace

i64 set_action(u32 signal, const wire::KernelSigaction* action, wire::KernelSigaction* old) {
  if (signal < 1 || signal > wire::kSignalCount) return -EINVAL;
  if (action != nullptr && (kUnblockable >> (signal - 1) & 1) != 0) return -EINVAL;
  bool owner = owns_memory();
  if (signal == kSignalSys) {
    if (old != nullptr) *old = g_state.actions[signal - 1];
    if (action != nullptr && owner) record_action(signal, *action);
    return 0;
  }
  if (owner) lock_action(signal);
  i64 result = change_action(signal, action, old);
  if (owner) {
    if (result == 0 && action != nullptr) record_action(signal, *action);
    unlock_action(signal);
  }
  return result;
}

i64 trapped_sigaction(Trap& trap) {
  if (trap.arguments[3] != 8) return -EINVAL;
  wire::KernelSigaction action, old;
  bool set = trap.arguments[1] != 0, get = trap.arguments[2] != 0;
  if (set && read_program(&action, trap.arguments[1], sizeof action) < 0) return -EFAULT;
  i64 result = set_action(static_cast<u32>(trap.arguments[0]), set ? &action : nullptr, get ? &old : nullptr);
  if (result == 0 && get) result = write_program(trap.arguments[2], &old, sizeof old);
  return result;
}

namespace {

struct SignalFrame {  // struct rt_sigframe
  u64 restorer;
  arch::KernelUcontext context;
  u8 info[128];
};

bool on_stack(const arch::KernelStack& stack, u64 address) {
  return (stack.flags & kStackDisabled) == 0 && address > stack.address && address - stack.address <= stack.bytes;
}

// True for a frame on the alternate stack when the program itself was not on it.
bool strays(const arch::KernelUcontext& program, u64 frame_address) {
  return on_stack(program.stack, frame_address) && !on_stack(program.stack, program.context.rsp);
}

u64 floating_point_bytes(u64 area) {
  const auto* software = reinterpret_cast<const arch::FrameSoftwareBytes*>(area + arch::kFrameSoftwareOffset);
  return software->magic1 == arch::kFrameMagic1 ? software->extended_bytes : 512;
}

// The frame as the kernel would have put it on the program's stack, had the thread been there.
u64 move_frame(const SignalFrame* frame, u64 stack_pointer) {
  u64 top = stack_pointer - 128;  // red zone
  u64 area = frame->context.context.fpstate;
  if (area != 0) {
    u64 bytes = floating_point_bytes(area);
    top = (top - bytes) & ~63UL;
    memcpy(reinterpret_cast<void*>(top), reinterpret_cast<const void*>(area), bytes);
  }
  u64 target = ((top - sizeof(SignalFrame)) & ~15UL) - 8;
  auto* moved = reinterpret_cast<SignalFrame*>(target);
  memcpy(moved, frame, sizeof *frame);
  if (area != 0) moved->context.context.fpstate = top;
  return target;
}

// Puts the context of a signal that hit the blocking window back at the program's own system call (states: blocking.S).
// `restarts` is the handler's SA_RESTART.
void roll_back(arch::KernelUcontext* interrupted, const arch::KernelUcontext* program, bool restarts) {
  u64 at = interrupted->context.rip;
  bool issued = at > reinterpret_cast<u64>(stasis_blocking_site);
  u64 result = at == reinterpret_cast<u64>(stasis_blocking_after) ? interrupted->context.rax : interrupted->context.r12;
  u64 number = program->context.rax;
  if (issued) {
    i64 completed = complete_call(*program, static_cast<i64>(result));
    if (completed == kStartAgainIfAsked) completed = restarts ? kStartAgain : -EINTR;
    issued = completed != kStartAgain;
    result = static_cast<u64>(completed);
  }
  interrupted->context = program->context;  // floating point state too: the kernel reset the registers at the SIGSYS
  interrupted->stack = program->stack;      // SS_AUTODISARM turned it off at the SIGSYS
  if (issued) {
    interrupted->context.rax = result;
  } else {
    interrupted->context.rip -= 2;  // the length of `syscall`
  }
  if (number == __NR_execve || number == __NR_execveat) release_scratch_of_thread();
}

// What the frame's mask and the handler's say of SIGSYS.
void mask_sigsys(arch::KernelUcontext* interrupted, u64 handler_mask) {
  const bool blocked = sigsys_blocked();
  if (blocked) interrupted->signal_mask |= kSignalSysBit;
  if (!blocked && (handler_mask & kSignalSysBit) != 0) set_sigsys_blocked(true);
}

}  // namespace

void go_on_waiting(arch::KernelUcontext* interrupted) {
  if (interrupted->context.rip != reinterpret_cast<u64>(stasis_blocking_after) ||
      static_cast<i64>(interrupted->context.rax) != -EINTR) {
    return;
  }
  interrupted->context.rip = reinterpret_cast<u64>(stasis_blocking_site);
  roll_back(interrupted, reinterpret_cast<const arch::KernelUcontext*>(interrupted->context.rbx), true);
}

// Called on the way into a program's handler, on the handler's stack. `has_info`: the kernel has filled in the frame's
// siginfo. Returns the frame to enter it with.
extern "C" u64 stasis_prepare_handler(u32 signal, arch::KernelUcontext* context, u64 frame_address, u32 has_info) {
  if (has_info != 0 && ids_on()) translate_info(reinterpret_cast<SignalFrame*>(frame_address)->info);
  wire::KernelSigaction& action = g_state.actions[signal - 1];
  u64 flags = action.flags;
  if ((flags & kResetHand) != 0 && owns_memory()) action.handler = kHandlerDefault;  // the kernel has done so
  leave_birth(context);
  if (ids_on()) {
    const bool itself = signal == kSignalSys && (flags & SA_NODEFER) == 0;
    mask_sigsys(context, itself ? kSignalSysBit : action.mask);
  }
  u64 at = context->context.rip;
  if (at < reinterpret_cast<u64>(stasis_blocking_begin) || at >= reinterpret_cast<u64>(stasis_blocking_end)) {
    // The runtime's SIGSYS goes to the alternate stack whatever the program wants for its own.
    if (signal != kSignalSys || (flags & kOnStack) != 0 || !strays(*context, frame_address)) {
      return frame_address;
    }
    return move_frame(reinterpret_cast<const SignalFrame*>(frame_address), context->context.rsp);
  }
  const auto* program = reinterpret_cast<const arch::KernelUcontext*>(context->context.rbx);
  // The SIGSYS frame went to the alternate stack and this one followed it there. A handler without SA_ONSTACK expects
  // the program's own stack, which may be much larger.
  bool strayed = (flags & kOnStack) == 0 && strays(*program, frame_address);
  roll_back(context, program, (flags & kRestart) != 0);
  if (!strayed) return frame_address;
  return move_frame(reinterpret_cast<const SignalFrame*>(frame_address), context->context.rsp);
}

}  // namespace stasis::runtime
