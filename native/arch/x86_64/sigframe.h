// The frame that rt_sigreturn(2) takes a thread's context from, as the kernel lays it out on x86-64
// (arch/x86/include/asm/sigframe.h, uapi/asm/sigcontext.h). Shared by the restorer's host half, the tracer and the
// freestanding runtime.
//
// At the rt_sigreturn call rsp is the address of the ucontext. Floating point state follows elsewhere: `fpstate` is the
// address of an XSAVE area in standard format, 64-byte aligned, whose bytes 464..511 (FrameSoftwareBytes) say how long
// it is, with the 32-bit word kFrameMagic2 right behind it. The kernel falls back to x87 and SSE state alone, without
// an error, when these do not fit together (arch/x86/kernel/fpu/signal.c, check_xstate_in_sigframe).
#pragma once

#include "wire/types.h"

namespace stasis::arch {

struct KernelStack {  // stack_t
  u64 address;
  u32 flags;
  u32 padding;
  u64 bytes;
};

struct KernelSigcontext {
  u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
  u16 cs, gs, fs, ss;
  u64 error, trap_number, old_mask, cr2;
  u64 fpstate;  // address, 0 for none
  u64 reserved[8];
};

struct KernelUcontext {
  u64 flags;
  u64 link;
  KernelStack stack;
  KernelSigcontext context;
  u64 signal_mask;  // 64 signals; the kernel reads 8 bytes
};

static_assert(sizeof(KernelStack) == 24);
static_assert(sizeof(KernelSigcontext) == 256);
static_assert(sizeof(KernelUcontext) == 304);

// Bits of KernelUcontext::flags.
inline constexpr u64 kUcontextXstate = 1;          // UC_FP_XSTATE
inline constexpr u64 kUcontextSegments = 2;        // UC_SIGCONTEXT_SS: ss is saved
inline constexpr u64 kUcontextStrictSegments = 4;  // UC_STRICT_RESTORE_SS: ss is put back as it is

// User segment selectors of a 64-bit process.
inline constexpr u16 kUserCodeSegment = 0x33;
inline constexpr u16 kUserStackSegment = 0x2b;

// struct _fpx_sw_bytes, at kFrameSoftwareOffset of the XSAVE area.
struct FrameSoftwareBytes {
  u32 magic1;
  u32 extended_bytes;  // area and second magic
  u64 features;        // components to be restored from the area; others get their initial state
  u32 xstate_bytes;    // area
  u32 padding[7];
};

static_assert(sizeof(FrameSoftwareBytes) == 48);

inline constexpr u32 kFrameMagic1 = 0x46505853;
inline constexpr u32 kFrameMagic2 = 0x46505845;
inline constexpr u32 kFrameSoftwareOffset = 464;
inline constexpr u32 kXsaveHeaderOffset = 512;  // XSTATE_BV, XCOMP_BV, 48 reserved bytes
inline constexpr u32 kXsaveMinBytes = 576;      // legacy area and header

}  // namespace stasis::arch
