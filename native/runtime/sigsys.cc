// The SIGSYS handler: emulates calls that the filter trapped, and passes every other SIGSYS on to the program's own
// action.
#include <asm/siginfo.h>
#include <asm/signal.h>

#include "runtime/filter.h"
#include "runtime/handlers.h"
#include "runtime/ids.h"
#include "runtime/signals.h"
#include "runtime/sigsys_mask.h"
#include "runtime/sites.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

extern "C" {
extern const char stasis_sigsys[], stasis_restorer[];
extern const char stasis_parasite_entry[];
}

namespace stasis::runtime {

namespace {

constexpr u64 kHandlerDefault = 0;
constexpr u64 kHandlerIgnore = 1;
constexpr i32 kSecurityTrap = 1;  // SYS_SECCOMP

struct SigsysInfo {  // siginfo_t of a seccomp trap
  i32 signal;
  i32 error;  // the filter's data
  i32 code;
  i32 padding;
  u64 call_address;  // behind the syscall instruction
  i32 number;
  u32 architecture;
};

struct SigsysFrame {
  u64 restorer;
  arch::KernelUcontext context;
};

// The program's action for a SIGSYS from kill(2), a filter of its own or syscall user dispatch. Returns the handler to
// enter, or 0.
u64 foreign_signal(const SigsysInfo* info, arch::KernelUcontext* context, u64* frame) {
  if (ids_on() && info->code <= 0 && sigsys_blocked()) {
    hold_sigsys(info);
    go_on_waiting(context);
    return 0;
  }
  wire::KernelSigaction action = g_state.actions[kSignalSys - 1];
  if (action.handler == kHandlerIgnore) {
    go_on_waiting(context);
    return 0;
  }
  if (action.handler == kHandlerDefault) {
    wire::KernelSigaction none{};
    raw_syscall(__NR_rt_sigaction, kSignalSys, &none, 0, 8);
    raw_syscall(__NR_tgkill, raw_syscall(__NR_getpid), raw_syscall(__NR_gettid), kSignalSys);
    return 0;
  }
  *frame = prepare_handler(kSignalSys, context, *frame);
  reinterpret_cast<SigsysFrame*>(*frame)->restorer = action.restorer;
  u64 mask = (context->signal_mask | action.mask) & ~kSignalSysBit;
  raw_syscall(__NR_rt_sigprocmask, SIG_SETMASK, &mask, 0, 8);
  return action.handler;
}

}  // namespace

// Called by stasis_sigsys with the handler mask in force. `frame` may be moved if a handler is returned.
extern "C" u64 stasis_handle_sigsys(u32, const SigsysInfo* info, arch::KernelUcontext* context, u64* frame) {
  const bool waits = info->error == wire::kWaitData;
  if (info->code != kSecurityTrap || (static_cast<u32>(info->error) != kTrapData && !waits))
    return foreign_signal(info, context, frame);
  // A tracer has put the thread elsewhere since the trap (wire/parasite.h): the call is not to be done now.
  u64 at = context->context.rip;
  if (at == reinterpret_cast<u64>(stasis_parasite_entry) || at != info->call_address) return 0;
  const arch::KernelSigcontext& registers = context->context;
  Trap trap{context,
            static_cast<u64>(info->number),
            {registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9}};
  if (waits) {
    context->context.rax = static_cast<u64>(continue_wait(trap, *reinterpret_cast<const wire::WaitInfo*>(info)));
    return 0;
  }
  note_trap(trap, at);
  context->context.rax = static_cast<u64>(dispatch(trap));
  return 0;
}

i64 install_handler() {
  wire::KernelSigaction action{};
  action.handler = reinterpret_cast<u64>(stasis_sigsys);
  // ONSTACK: Go's goroutine stacks have no room for a signal frame. NODEFER: another trap must not find SIGSYS blocked.
  action.flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART | SA_RESTORER;
  action.restorer = reinterpret_cast<u64>(stasis_restorer);
  action.mask = kHandlerMask;
  i64 result = raw_syscall(__NR_rt_sigaction, kSignalSys, &action, 0, 8);
  if (result < 0) return result;
  u64 unblock = kSignalSysBit;
  return raw_syscall(__NR_rt_sigprocmask, SIG_UNBLOCK, &unblock, 0, 8);
}

}  // namespace stasis::runtime
