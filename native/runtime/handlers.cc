// The way into a program's handler (handlers.h, arch/x86_64/thunks.S).
//
// Other signals may arrive while one is on its way in. What has to be done for it, once and whole, is done with all of
// them blocked; before that nothing has happened, and behind it only registers are missing. So a signal that arrives in
// between finds the first one's handler at its first instruction (finish_interrupted_entry), as it would without thunks,
// and the runtime's frames lie under no handler.
#include "runtime/handlers.h"

#include <asm/signal.h>

#include "runtime/births.h"
#include "runtime/fast_call.h"
#include "runtime/ids.h"
#include "runtime/ids_complete.h"
#include "runtime/program_memory.h"
#include "runtime/scratch.h"
#include "runtime/signals.h"
#include "runtime/sigsys_mask.h"
#include "runtime/state.h"
#include "runtime/stubs.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"

extern "C" {
extern const char stasis_thunks[], stasis_thunks_end[];
extern const char stasis_enter_handler[], stasis_entry_built[], stasis_entry_known[];
extern const char stasis_entry_left[], stasis_entry_end[];
extern stasis::u64 stasis_thunk_handlers[];
}

namespace stasis::runtime {

namespace {

constexpr u64 kHandlerDefault = 0;
constexpr u64 kResetHand = 0x80000000;
constexpr u64 kOnStack = 0x08000000;
constexpr u64 kRedZone = 128;
constexpr u64 kRestart = 0x10000000;
constexpr u32 kStackDisabled = 2;  // SS_DISABLE

// A handler that is being entered, on its stack; r15 holds the address plus one. Offsets are thunks.S's.
struct Entry {
  u64 magic;
  u64 r15;  // what the handler finds there
  u64 signal;
  arch::KernelUcontext* context;
  u64 index;  // of the thunk
  u64 frame;
  u64 prepared;
  u64 padding[2];
};
static_assert(sizeof(Entry) == 72);
constexpr u64 kEntryMagic = 0x72656c646e616821;

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

// The frame as the kernel would have put it, below `top`.
u64 move_frame(const SignalFrame* frame, u64 top) {
  u64 area = frame->context.context.fpstate;
  if (area != 0) {
    u64 bytes = floating_point_bytes(area);
    top = (top - bytes) & ~63UL;
    memmove(reinterpret_cast<void*>(top), reinterpret_cast<const void*>(area),
            bytes);  // perhaps of a frame that lay here
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

// Makes the context the program's and translates the siginfo, with signals blocked. Returns the frame to enter the handler
// with.
u64 prepare(u32 signal, arch::KernelUcontext* context, u64 frame_address, bool has_info);

void enter(arch::KernelSigcontext& context, u64 signal, u64 index, u64 frame, u64 r15) {
  context.rip = stasis_thunk_handlers[index];
  context.rsp = frame;
  context.rdi = signal;
  context.rsi = frame + __builtin_offsetof(SignalFrame, info);
  context.rdx = frame + __builtin_offsetof(SignalFrame, context);
  context.rax = 0;
  context.r15 = r15;
}

// With nothing done for it yet.
void enter_afresh(arch::KernelSigcontext& context, u64 index, u64 frame) {
  auto* program = reinterpret_cast<arch::KernelUcontext*>(context.rdx);
  const u64 moved = prepare(static_cast<u32>(context.rdi), program, frame, (index & 1) != 0);
  enter(context, context.rdi, index, moved, program->context.r15);
}

u64 address_of(const char* label) { return reinterpret_cast<u64>(label); }

// If a signal has interrupted the entry of another's handler: makes the context that of this handler at its first
// instruction.
void finish_interrupted_entry(arch::KernelSigcontext& context) {
  const u64 at = context.rip;
  if (at >= address_of(stasis_thunks) && at < address_of(stasis_thunks_end)) {
    return enter_afresh(context, (at - address_of(stasis_thunks)) / kThunkBytes, context.rsp);
  }
  if (at == address_of(stasis_enter_handler)) return enter_afresh(context, context.rax, context.rsp);
  if (at >= address_of(stasis_entry_built) && at < address_of(stasis_entry_known)) {
    return enter_afresh(context, context.rax, context.rsp + sizeof(Entry));
  }
  if (at >= address_of(stasis_entry_left) && at < address_of(stasis_entry_end)) {
    if (at == address_of(stasis_entry_left)) context.r15 = context.r10;
    context.rip = context.r11;
    context.rax = 0;
    return;
  }
  if (!is_worked_for(context, context.r15 - 1, kEntryMagic)) return;
  const auto* entry = reinterpret_cast<const Entry*>(context.r15 - 1);
  const u64 index = entry->index, signal = entry->signal;
  if (entry->prepared != 0) return enter(context, signal, index, entry->frame, entry->r15);
  const u64 frame = prepare(static_cast<u32>(signal), entry->context, entry->frame, (index & 1) != 0);
  enter(context, signal, index, frame, entry->context->context.r15);
}

u64 prepare(u32 signal, arch::KernelUcontext* context, u64 frame_address, bool has_info) {
  if (has_info && ids_on()) translate_info(reinterpret_cast<SignalFrame*>(frame_address)->info);
  wire::KernelSigaction& action = g_state.actions[signal - 1];
  u64 flags = action.flags;
  if ((flags & kResetHand) != 0 && owns_memory()) action.handler = kHandlerDefault;  // the kernel has done so
  finish_interrupted_entry(context->context);
  leave_birth(context);
  leave_fast_call(context);
  context->signal_mask &= ~kSignalSysBit;  // blocked for an instant in a fast rt_sigprocmask
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
    return move_frame(reinterpret_cast<const SignalFrame*>(frame_address), context->context.rsp - kRedZone);
  }
  const auto* program = reinterpret_cast<const arch::KernelUcontext*>(context->context.rbx);
  // The SIGSYS frame went to the alternate stack and this one followed it there. A handler without SA_ONSTACK expects
  // the program's own stack, which may be much larger; one with it the whole alternate stack, which may have room for two
  // frames but not for three.
  const bool strayed = strays(*program, frame_address);
  const u64 alternate = program->stack.address + program->stack.bytes;
  roll_back(context, program, (flags & kRestart) != 0);
  if (!strayed) return frame_address;
  return move_frame(reinterpret_cast<const SignalFrame*>(frame_address),
                    (flags & kOnStack) != 0 ? alternate : context->context.rsp - kRedZone);
}

// Whether there is nothing to do for the handler but to enter it: the program was in its own text.
bool is_plain(const Entry& entry) {
  const u64 at = entry.context->context.rip;
  if (ids_on() || entry.signal == kSignalSys || in_stub_area(at)) return false;
  const wire::KernelSigaction& action = g_state.actions[entry.signal - 1];
  return (at < wire::kWindowBase || at >= wire::kWindowEnd) && (action.flags & kResetHand) == 0;
}

}  // namespace

// Called on the way into a program's handler, on the handler's stack.
extern "C" __attribute__((used)) void stasis_prepare_entry(Entry* entry) {
  if (!is_plain(*entry)) {
    const u64 all = kHandlerMask;
    u64 before;
    raw_syscall(__NR_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof before);
    entry->frame = prepare(static_cast<u32>(entry->signal), entry->context, entry->frame, (entry->index & 1) != 0);
    entry->r15 = entry->context->context.r15;
    __atomic_store_n(&entry->prepared, 1, __ATOMIC_RELEASE);
    before &= ~kSignalSysBit;
    raw_syscall(__NR_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);
  }
}

u64 prepare_handler(u32 signal, arch::KernelUcontext* context, u64 frame_address) {
  return prepare(signal, context, frame_address, true);
}

void go_on_waiting(arch::KernelUcontext* interrupted) {
  if (interrupted->context.rip != reinterpret_cast<u64>(stasis_blocking_after) ||
      static_cast<i64>(interrupted->context.rax) != -EINTR) {
    return;
  }
  interrupted->context.rip = reinterpret_cast<u64>(stasis_blocking_site);
  roll_back(interrupted, reinterpret_cast<const arch::KernelUcontext*>(interrupted->context.rbx), true);
}

}  // namespace stasis::runtime
