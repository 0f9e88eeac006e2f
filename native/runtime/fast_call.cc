// Entry of fast calls and the way out of one that a signal interrupts (fast_call.h, arch/x86_64/fast_call.S).
#include "runtime/fast_call.h"

#include "runtime/ids.h"
#include "runtime/program_memory.h"
#include "runtime/signals.h"
#include "runtime/stubs.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"

extern "C" {
extern const char stasis_text_begin[], stasis_text_end[];
extern const char stasis_fast_entry[], stasis_fast_red_zone[], stasis_fast_flags[], stasis_fast_aligned[];
extern const char stasis_fast_begun[], stasis_fast_leave[], stasis_fast_left[], stasis_fast_gone[];
extern const char stasis_fast_giving_up[], stasis_fast_abandoned[], stasis_fast_handed[];
extern const char stasis_fast_after[], stasis_fast_issue_end[];
}

namespace stasis::runtime {

namespace {

constexpr u64 kMagic = 0x6c6c616374736166;
constexpr u64 kRedZone = 128;
constexpr u64 kFlagsBelow = wire::kFastCallFlagsBelow;
constexpr u64 kSyscallBytes = 2;
constexpr u64 kDeepest = 8192;  // no function called from a fast call or an entry goes deeper into the stack

static_assert(__builtin_offsetof(FastCall, result) == 8 && __builtin_offsetof(FastCall, issued) == 16);
static_assert(__builtin_offsetof(FastCall, program.context.r8) == 72);
static_assert(__builtin_offsetof(FastCall, program.context.rip) == 200);

u64 address_of(const char* label) { return reinterpret_cast<u64>(label); }

bool inside(u64 at, const char* begin, const char* end) { return at >= address_of(begin) && at < address_of(end); }

void go_back_to_call(arch::KernelSigcontext& context) { context.rip -= kSyscallBytes; }

// In front of `begun`: registers are where they were.
void leave_entry(arch::KernelSigcontext& context) {
  const u64 at = context.rip;
  if (at == address_of(stasis_fast_red_zone)) {
    context.rsp += kRedZone;
  } else if (at == address_of(stasis_fast_flags)) {
    context.rsp += kFlagsBelow;
  } else if (at >= address_of(stasis_fast_aligned)) {
    context.rsp = context.r11;
    context.eflags = *reinterpret_cast<const u64*>(context.rsp - kFlagsBelow);
  }
  context.rip = context.rcx;
  go_back_to_call(context);
}

void take_registers(arch::KernelSigcontext& context, const FastCall& call) {
  memcpy(&context, &call.program.context, __builtin_offsetof(arch::KernelSigcontext, eflags));
  context.eflags = *reinterpret_cast<const u64*>(context.rsp - kFlagsBelow);
}

void leave_done(arch::KernelSigcontext& context, const FastCall& call, i64 result) {
  take_registers(context, call);
  context.rax = static_cast<u64>(result);
}

// Behind `left` or `abandoned`: all but the jump, and before it r15, is done.
void leave_last(arch::KernelSigcontext& context, const char* label) {
  if (context.rip == address_of(label)) context.r15 = context.r11;
  context.rip = context.rcx;
}

i64 finish_interrupted_call(FastCall* call, arch::KernelUcontext* interrupted) {
  switch (call->program.context.rax) {
    case __NR_rt_sigprocmask:
      return finish_mask_change(call, &interrupted->signal_mask);
    case __NR_rt_sigaction:
      return finish_action_query(call);
    default:
      return complete_call(call->program, call->result);
  }
}

}  // namespace

extern "C" __attribute__((used)) i64 stasis_fast_dispatch(FastCall* call) {
  const arch::KernelSigcontext& registers = call->program.context;
  Trap trap{&call->program,
            registers.rax,
            {registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9}};
  return dispatch(trap);
}

bool is_worked_for(const arch::KernelSigcontext& interrupted, u64 at, u64 magic) {
  if (!inside(interrupted.rip, stasis_text_begin, stasis_text_end)) return false;
  if (at % sizeof(u64) != 0 || at < interrupted.rsp || at - interrupted.rsp > kDeepest) return false;
  u64 mark;
  return read_program(&mark, at, sizeof mark) == 0 && mark == (magic ^ at);
}

void leave_fast_call(arch::KernelUcontext* interrupted) {
  arch::KernelSigcontext& context = interrupted->context;
  const u64 at = context.rip;
  if (leave_stub(&context)) return;
  if (inside(at, stasis_fast_entry, stasis_fast_begun)) return leave_entry(context);
  if (inside(at, stasis_fast_leave, stasis_fast_left)) {
    return leave_done(context, *reinterpret_cast<const FastCall*>(context.r15), static_cast<i64>(context.rax));
  }
  if (inside(at, stasis_fast_left, stasis_fast_gone)) return leave_last(context, stasis_fast_left);
  if (inside(at, stasis_fast_abandoned, stasis_fast_handed)) return leave_last(context, stasis_fast_abandoned);
  const bool known =
      inside(at, stasis_fast_begun, stasis_fast_leave) || inside(at, stasis_fast_giving_up, stasis_fast_abandoned);
  if (!known && !is_worked_for(context, context.r15, kMagic)) return;
  auto* call = reinterpret_cast<FastCall*>(context.r15);
  if (inside(at, stasis_fast_after, stasis_fast_issue_end)) {
    call->result = static_cast<i64>(context.rax);
    call->issued = 1;
  }
  if (call->issued == 0) {
    call->magic = 0;
    take_registers(context, *call);
    return go_back_to_call(context);
  }
  const i64 result = finish_interrupted_call(call, interrupted);
  call->magic = 0;
  leave_done(context, *call, result);
}

}  // namespace stasis::runtime
