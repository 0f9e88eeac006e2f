// Fast calls: a system call of the program that comes here by a jump from its rewritten call site (sites.h) instead of a
// SIGSYS, and is translated by the same handlers. It runs in the program's thread, on its stack, with its own signal
// mask. So what a handler does must be such that it can be given up at any instant and done anew:
//
//   before the call is issued   the thread goes back to the program's `syscall` instruction, which traps. Handlers read,
//                               and change the translation table, whose every change may be abandoned (wire/ids.h);
//                               those that take a lock, a slot or a descriptor give the fast call up first
//   the call itself             is made at a labelled instruction (issue_call in trap.h), if doing it twice would show
//   behind it                   the result is known, and finishing it may be repeated
//
// r15 is fixed in all code of the runtime: it holds the FastCall; on the way into a handler an odd number (handlers.cc); and
// 0 in everything that runs in SIGSYS handlers and at start.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "wire/descriptor.h"
#include "wire/types.h"

namespace stasis::runtime {

struct FastCall {
  u64 magic;
  i64 result;  // once `issued`
  u64 issued;
  u64 note;                      // a handler's own, from before the call for behind it
  arch::KernelUcontext program;  // registers as at the system call, rip behind it; the rest is not set
};
static_assert(sizeof(FastCall) == 336);
static_assert(__builtin_offsetof(FastCall, program) == wire::kFastCallProgramOffset);

extern "C" {
[[noreturn]] void stasis_fast_abandon();
i64 stasis_fast_issue(i64 number, const u64* arguments);
}

// The call that the caller works for, null in a SIGSYS handler.
inline FastCall* fast_call() {
  u64 call;
  __asm__("mov %%r15, %0" : "=r"(call));
  return (call & 1) == 0 ? reinterpret_cast<FastCall*>(call) : nullptr;
}

// In front of everything that cannot be given up halfway: a fast call starts again as a trapped one. Returns otherwise.
inline void give_up_fast_call() {
  if (fast_call() != nullptr) stasis_fast_abandon();
}

// Runs `work` as no part of a fast call: for functions that the program calls, with a value of its own in r15.
template <typename Work>
inline auto outside_fast_call(Work work) {
  u64 kept;
  __asm__ volatile("mov %%r15, %0\n\txor %%r15d, %%r15d" : "=r"(kept) : : "cc", "memory");
  const auto result = work();
  __asm__ volatile("mov %0, %%r15" : : "r"(kept) : "memory");
  return result;
}

// Whether `at`, a value of r15, is the address of something that interrupted C++ code works for: marked by `magic`, on the
// stack close by. The own vdso's functions run with a value of the program's there, so nothing is believed before it is
// looked at, and nothing is touched that may not be mapped.
bool is_worked_for(const arch::KernelSigcontext& interrupted, u64 at, u64 magic);

// On the way into a program's handler: if the signal interrupted a fast call, makes the context that of the program, in
// front of its call or behind it.
void leave_fast_call(arch::KernelUcontext* interrupted);

}  // namespace stasis::runtime
