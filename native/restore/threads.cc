// Threads: for each one a complete rt_sigreturn frame, laid out at the address it will have, and a stack for the
// runtime's work before.
#include <linux/audit.h>

#include <csignal>
#include <cstring>

#include "arch/x86_64/sigframe.h"
#include "restore/builders.h"
#include "restore/xstate.h"
#include "wire/waits.h"

namespace stasis::restore {

namespace {

constexpr std::uint64_t kStackBytes = 2048;
constexpr std::uint64_t kSyscallBytes = 2;
constexpr std::uint64_t kFrameBytes =
    sizeof(arch::KernelUcontext) + 128;       // siginfo_t follows in the kernel's frame; rt_sigreturn ignores it
constexpr std::uint64_t kRseqAlignment = 32;  // the kernel takes no other (rseq(2))
constexpr std::uint64_t kSigsysBit = std::uint64_t{1} << (SIGSYS - 1);

// The bits of eflags that rt_sigreturn(2) takes over: arithmetic flags, TF, DF and AC (arch/x86/kernel/signal.c,
// FIX_EFLAGS). The kernel masks the same way; stating it keeps the rest of a hostile word out of the plan.
constexpr std::uint64_t kUserFlags = 0x40dd5;
constexpr std::uint64_t kFixedFlags = 0x202;  // the bit that is always set, and interrupts on

// SS_ONSTACK is not stored: the kernel finds out from rsp (signal(7), sigaltstack(2)).
constexpr std::uint32_t kAltstackFlags = 2 /* SS_DISABLE */ | 0x8000'0000 /* SS_AUTODISARM, 4.7 */;

arch::KernelUcontext context_of(const image::Thread& thread, std::uint64_t fpstate_address) {
  const image::GeneralRegisters& r = thread.registers;
  arch::KernelUcontext context{};
  context.flags = arch::kUcontextXstate | arch::kUcontextSegments | arch::kUcontextStrictSegments;
  context.stack = {.address = thread.altstack_address,
                   .flags = thread.altstack_flags & kAltstackFlags,
                   .padding = 0,
                   .bytes = thread.altstack_bytes};
  if (thread.altstack_bytes == 0) context.stack.flags = 2;
  context.context = {.r8 = r.r8,
                     .r9 = r.r9,
                     .r10 = r.r10,
                     .r11 = r.r11,
                     .r12 = r.r12,
                     .r13 = r.r13,
                     .r14 = r.r14,
                     .r15 = r.r15,
                     .rdi = r.rdi,
                     .rsi = r.rsi,
                     .rbp = r.rbp,
                     .rbx = r.rbx,
                     .rdx = r.rdx,
                     .rax = r.rax,
                     .rcx = r.rcx,
                     .rsp = r.rsp,
                     .rip = r.rip,
                     .eflags = (r.eflags & kUserFlags) | kFixedFlags,
                     .cs = arch::kUserCodeSegment,
                     .gs = 0,
                     .fs = 0,
                     .ss = arch::kUserStackSegment,
                     .error = 0,
                     .trap_number = 0,
                     .old_mask = 0,
                     .cr2 = 0,
                     .fpstate = fpstate_address,
                     .reserved = {}};
  // A trap while SIGSYS is blocked kills the process (docs/kernel-facts.md, "seccomp").
  context.signal_mask = thread.signal_mask & ~kSigsysBit;
  return context;
}

// The word that holds a thread's id is stored to by the runtime itself in the main thread, so it must be there.
bool is_writable(const image::ProcessImage& section, std::uint64_t address, std::uint64_t bytes) {
  for (const image::Mapping& mapping : section.mappings) {
    if (address >= mapping.address && address - mapping.address < mapping.length) {
      return (mapping.protection & 2) != 0 && mapping.length - (address - mapping.address) >= bytes;
    }
  }
  return false;
}

// A SIGSYS of the program's own that waits in the thread's queue would keep ours out.
bool continues_wait(const image::Image& image, const image::ProcessImage& section, const image::Thread& thread) {
  if (thread.wait_ns == 0 || image.runtime.descriptor_version < wire::kDescriptorVersionWithWaits) return false;
  for (const image::QueuedSignal& queued : section.queued_signals) {
    if (queued.tid == thread.tid && queued.signal == SIGSYS) return false;
  }
  return true;
}

// wire/waits.h.
wire::QueuedSignal rest_of_wait(const image::Thread& thread, std::uint32_t index) {
  wire::WaitInfo info{};
  info.signal = SIGSYS;
  info.error = wire::kWaitData;
  info.code = wire::kWaitCode;
  info.call_address = thread.registers.rip + kSyscallBytes;
  info.number = static_cast<std::int32_t>(thread.registers.rax);
  info.architecture = AUDIT_ARCH_X86_64;
  info.left_ns = thread.wait_ns;
  wire::QueuedSignal entry{};
  entry.signal = SIGSYS;
  entry.thread = index;
  std::memcpy(entry.info, &info, sizeof info);
  return entry;
}

}  // namespace

Status plan_threads(const image::Image& image, const image::ProcessImage& section, PlanBuilder& plan) {
  const XstateLayout& host = XstateLayout::of_this_host();
  for (const image::Thread& thread : section.threads) {
    auto xstate = frame_xstate(thread.xsave, image.header.cpu.xcr0, host);
    if (!xstate.ok()) return std::move(xstate).error().with_tid(thread.tid);
    if (thread.rseq_address % kRseqAlignment != 0) {
      return Error::plain(ErrorKind::Damaged, "the restartable sequences of a thread are not where they can be")
          .with_tid(thread.tid);
    }
    // The stack first: it is all that the thread writes, so that it shares its page with as little as possible.
    const std::uint64_t stack = plan.add_zeros(kStackBytes, 64);
    const std::uint64_t fpstate = plan.add_bytes(xstate.value(), 64);
    arch::KernelUcontext context = context_of(thread, PlanBuilder::address_of(fpstate));
    if (continues_wait(image, section, thread)) {
      context.context.rip += kSyscallBytes;
      plan.signals.push_back(rest_of_wait(thread, static_cast<std::uint32_t>(plan.threads.size())));
    }
    const std::uint64_t frame = plan.add_zeros(kFrameBytes, 16);
    plan.write(frame, {reinterpret_cast<const std::uint8_t*>(&context), sizeof context});

    wire::ThreadEntry entry{};
    entry.frame = PlanBuilder::address_of(frame);
    entry.stack_top = PlanBuilder::address_of(stack + kStackBytes);
    entry.fs_base = thread.registers.fs_base;
    entry.gs_base = thread.registers.gs_base;
    entry.clear_child_tid = thread.clear_child_tid;
    entry.robust_list = thread.robust_list;
    entry.robust_list_bytes = thread.robust_list_bytes;
    entry.rseq_address = thread.rseq_address;
    entry.rseq_bytes = thread.rseq_bytes;
    entry.rseq_signature = thread.rseq_signature;
    entry.image_tid = thread.tid;
    entry.tid_word = thread.tid_word != 0 && is_writable(section, thread.tid_word, 4) ? thread.tid_word : 0;
    std::strncpy(entry.name, thread.name.c_str(), sizeof entry.name - 1);
    plan.threads.push_back(entry);
  }
  return {};
}

}  // namespace stasis::restore
