// Turning a thread's registers into an rt_sigreturn frame and a SIGSYS frame back into registers
// (arch/x86_64/sigframe.h).
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <vector>

#include "arch/x86_64/sigframe.h"
#include "os/process_memory.h"

namespace stasis::tracer {

// The general registers of a frame's context. fs_base and gs_base, which no frame holds, are taken from `live`.
user_regs_struct registers_of(const arch::KernelSigcontext& context, const user_regs_struct& live);

// Bytes of an XSAVE area that its own header (XSTATE_BV) says are in use.
std::uint32_t xstate_bytes_in_use(const std::vector<std::uint8_t>& xsave);

// Bytes that put_frame needs for this area.
std::uint64_t frame_bytes(const std::vector<std::uint8_t>& xsave);

// Lays out at `to`, which will stand at `address` (64-byte aligned) in the thread, a frame that returns to the given
// context. Returns the address of its ucontext. The alternate stack is left as it is at that time.
std::uint64_t put_frame(std::uint8_t* to, std::uint64_t address, const user_regs_struct& registers,
                        std::uint64_t signal_mask, const std::vector<std::uint8_t>& xsave);

// The XSAVE area that a frame of the kernel's points to, in the form of NT_X86_XSTATE.
Result<std::vector<std::uint8_t>> xsave_of(const ProcessMemory& memory, const arch::KernelSigcontext& context);

}  // namespace stasis::tracer
