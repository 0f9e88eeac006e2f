// Actions of signals (see signals.h).
//
// Each distinct handler has one thunk for the life of the process; the kernel holds the thunk with the program's own
// flags, mask and restorer. So the kernel stays the authority on actions, which keeps SA_RESETHAND, exec and vfork
// children right, and g_state.actions follows for the checkpoint. A handler has another thunk when it is set with
// SA_SIGINFO: only then does the kernel fill in the frame's siginfo, whose ids are to be translated.
#include "runtime/signals.h"

#include <asm/signal.h>

#include "runtime/program_memory.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

constexpr u32 kSharedThunks = kThunkCount - 2 * wire::kSignalCount;  // the rest: two for each signal
constexpr u64 kHandlerDefault = 0;
constexpr u64 kHandlerIgnore = 1;
constexpr u64 kUnblockable = 1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1);

}  // namespace

extern "C" {
extern const char stasis_thunks[];
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

// An action from the kernel as the program has set it: its handler for the thunk, and SIGSYS in the mask if it was there.
void present_action(u32 signal, wire::KernelSigaction* action) {
  action->handler = handler_of(action->handler);
  const wire::KernelSigaction& recorded = g_state.actions[signal - 1];
  if (recorded.handler == action->handler && (recorded.mask & ~kSignalSysBit) == action->mask)
    action->mask = recorded.mask;
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
    present_action(signal, old);
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

i64 finish_action_query(FastCall* call) {
  const arch::KernelSigcontext& registers = call->program.context;
  // The kernel has written there this instant.
  if (call->result == 0 && registers.rdx != 0) {
    present_action(static_cast<u32>(registers.rdi), reinterpret_cast<wire::KernelSigaction*>(registers.rdx));
  }
  return call->result;
}

i64 trapped_sigaction(Trap& trap) {
  if (trap.arguments[3] != 8) return -EINVAL;
  if (FastCall* call = fast_call()) {
    const u32 number = static_cast<u32>(trap.arguments[0]);
    if (trap.arguments[1] != 0 || number == kSignalSys) give_up_fast_call();  // g_state is changed under a lock
    stasis_fast_issue(__NR_rt_sigaction, trap.arguments);
    return finish_action_query(call);
  }
  wire::KernelSigaction action, old;
  bool set = trap.arguments[1] != 0, get = trap.arguments[2] != 0;
  if (set && read_program(&action, trap.arguments[1], sizeof action) < 0) return -EFAULT;
  i64 result = set_action(static_cast<u32>(trap.arguments[0]), set ? &action : nullptr, get ? &old : nullptr);
  if (result == 0 && get) result = write_program(trap.arguments[2], &old, sizeof old);
  return result;
}

}  // namespace stasis::runtime
