#include "tracer/frame.h"

#include <cpuid.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace stasis::tracer {

namespace {

using arch::FrameSoftwareBytes;
using arch::KernelUcontext;

constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kReturnAddressBytes = 8;
constexpr std::uint32_t kMaxXstateBytes = 64 * 1024;
constexpr std::uint64_t kLegacyFeatures = 3;  // x87 and SSE: their areas are always there, and MXCSR goes with SSE
// An alternate stack's mode that the kernel refuses with EINVAL, which rt_sigreturn ignores (kernel/signal.c,
// restore_altstack): the frame is written before the tracer can know the alternate stack.
constexpr std::uint32_t kInvalidStackMode = 0x0badc0de & ~3u & ~(1u << 31);

constexpr std::uint64_t align(std::uint64_t value) { return (value + kAlignment - 1) & ~(kAlignment - 1); }

// Offset of the XSAVE area behind the frame's beginning.
constexpr std::uint64_t kXsaveOffset = align(kReturnAddressBytes + sizeof(KernelUcontext));

std::uint64_t features_in_use(const std::vector<std::uint8_t>& xsave) {
  std::uint64_t features = 0;
  if (xsave.size() >= arch::kXsaveMinBytes)
    std::memcpy(&features, xsave.data() + arch::kXsaveHeaderOffset, sizeof features);
  return features;
}

constexpr unsigned kXstateComponents = 63;
using XstateEnds = std::array<std::uint32_t, kXstateComponents>;

// Where each component of the extended state ends in the standard format (leaf 0xd of cpuid). Asked once: in a virtual machine the host
// answers, which takes as long as several system calls.
XstateEnds read_xstate_ends() {
  XstateEnds ends{};
  unsigned low = 0, b = 0, c = 0, high = 0;
  __cpuid_count(0xd, 0, low, b, c, high);
  const std::uint64_t supported = std::uint64_t{high} << 32 | low;
  for (unsigned component = 2; component < kXstateComponents; ++component) {
    if ((supported >> component & 1) == 0) continue;
    unsigned size = 0, offset = 0, flags = 0, reserved = 0;
    __cpuid_count(0xd, component, size, offset, flags, reserved);
    ends[component] = offset + size;
  }
  return ends;
}

}  // namespace

user_regs_struct registers_of(const arch::KernelSigcontext& context, const user_regs_struct& live) {
  user_regs_struct registers = live;  // segments and bases
  registers.r8 = context.r8;
  registers.r9 = context.r9;
  registers.r10 = context.r10;
  registers.r11 = context.r11;
  registers.r12 = context.r12;
  registers.r13 = context.r13;
  registers.r14 = context.r14;
  registers.r15 = context.r15;
  registers.rdi = context.rdi;
  registers.rsi = context.rsi;
  registers.rbp = context.rbp;
  registers.rbx = context.rbx;
  registers.rdx = context.rdx;
  registers.rax = context.rax;
  registers.rcx = context.rcx;
  registers.rsp = context.rsp;
  registers.rip = context.rip;
  registers.eflags = context.eflags;
  registers.orig_rax = static_cast<unsigned long long>(-1);
  return registers;
}

// The standard format has a fixed place for every component (cpuid leaf 0xd). What ptrace gives is as long as the
// processor's largest state, but a frame may be no longer than what the thread has permission for (AMX; kernel 5.16):
// the rest is cut.
std::uint32_t xstate_bytes_in_use(const std::vector<std::uint8_t>& xsave) {
  static const XstateEnds ends = read_xstate_ends();
  std::uint32_t bytes = arch::kXsaveMinBytes;
  const std::uint64_t features = features_in_use(xsave);
  for (unsigned component = 2; component < kXstateComponents; ++component) {
    if ((features >> component & 1) != 0) bytes = std::max(bytes, ends[component]);
  }
  return std::min<std::uint32_t>(bytes, static_cast<std::uint32_t>(xsave.size()));
}

std::uint64_t frame_bytes(const std::vector<std::uint8_t>& xsave) {
  return align(kXsaveOffset + xstate_bytes_in_use(xsave) + sizeof arch::kFrameMagic2);
}

std::uint64_t put_frame(std::uint8_t* to, std::uint64_t address, const user_regs_struct& registers,
                        std::uint64_t signal_mask, const std::vector<std::uint8_t>& xsave) {
  KernelUcontext ucontext{};
  ucontext.flags = arch::kUcontextXstate | arch::kUcontextSegments | arch::kUcontextStrictSegments;
  ucontext.stack.flags = kInvalidStackMode;
  arch::KernelSigcontext& context = ucontext.context;
  context.r8 = registers.r8;
  context.r9 = registers.r9;
  context.r10 = registers.r10;
  context.r11 = registers.r11;
  context.r12 = registers.r12;
  context.r13 = registers.r13;
  context.r14 = registers.r14;
  context.r15 = registers.r15;
  context.rdi = registers.rdi;
  context.rsi = registers.rsi;
  context.rbp = registers.rbp;
  context.rbx = registers.rbx;
  context.rdx = registers.rdx;
  context.rax = registers.rax;
  context.rcx = registers.rcx;
  context.rsp = registers.rsp;
  context.rip = registers.rip;
  context.eflags = registers.eflags;
  context.cs = static_cast<u16>(registers.cs);
  context.ss = static_cast<u16>(registers.ss);
  context.fpstate = address + kXsaveOffset;
  ucontext.signal_mask = signal_mask;
  std::memcpy(to + kReturnAddressBytes, &ucontext, sizeof ucontext);

  const std::uint32_t bytes = xstate_bytes_in_use(xsave);
  std::uint8_t* area = to + kXsaveOffset;
  std::memcpy(area, xsave.data(), bytes);
  FrameSoftwareBytes software{};
  software.magic1 = arch::kFrameMagic1;
  software.extended_bytes = bytes + static_cast<u32>(sizeof arch::kFrameMagic2);
  software.features = features_in_use(xsave) | kLegacyFeatures;
  software.xstate_bytes = bytes;
  std::memcpy(area + arch::kFrameSoftwareOffset, &software, sizeof software);
  std::memcpy(area + bytes, &arch::kFrameMagic2, sizeof arch::kFrameMagic2);
  return address + kReturnAddressBytes;
}

Result<std::vector<std::uint8_t>> xsave_of(const ProcessMemory& memory, const arch::KernelSigcontext& context) {
  const auto software = STASIS_TRY(memory.read_value<FrameSoftwareBytes>(context.fpstate + arch::kFrameSoftwareOffset));
  if (context.fpstate == 0 || software.magic1 != arch::kFrameMagic1 || software.xstate_bytes < arch::kXsaveMinBytes ||
      software.xstate_bytes > kMaxXstateBytes) {
    return Error::plain(ErrorKind::Failed, "reading the extended registers of a trapped call")
        .with_range(context.fpstate, 0);
  }
  std::vector<std::uint8_t> area(software.xstate_bytes);
  STASIS_TRY(memory.read(context.fpstate, area));
  // ptrace puts the enabled features (XCR0) where frames have their magic, and zeros behind
  // (arch/x86/kernel/fpu/xstate.c).
  std::uint8_t* place = area.data() + arch::kFrameSoftwareOffset;
  std::memset(place, 0, sizeof software);
  std::memcpy(place, &software.features, sizeof software.features);
  return area;
}

}  // namespace stasis::tracer
