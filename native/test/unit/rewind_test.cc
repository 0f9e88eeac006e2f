// What becomes of a call that a stop interrupted.
#include "tracer/rewind.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "test/check.h"
#include "tracer/frame.h"
#include "tracer/quiesce.h"
#include "wire/layout.h"

namespace stasis::tracer {
namespace {

constexpr auto kNone = static_cast<unsigned long long>(-1);

user_regs_struct in_call(long number, long result) {
  user_regs_struct registers{};
  registers.orig_rax = static_cast<unsigned long long>(number);
  registers.rax = static_cast<unsigned long long>(result);
  registers.rip = 0x1002;
  return registers;
}

TEST(kinds_of_interruption) {
  using At = Tracee::At;
  CHECK(interruption_of(in_call(SYS_read, -512), At::Event) == Interruption::Restart);
  CHECK(interruption_of(in_call(SYS_read, -513), At::Event) == Interruption::Restart);
  CHECK(interruption_of(in_call(SYS_pause, -514), At::Event) == Interruption::Restart);
  CHECK(interruption_of(in_call(SYS_poll, -516), At::Event) == Interruption::RestartBlock);
  CHECK(interruption_of(in_call(SYS_read, 5), At::Event) == Interruption::None);
  CHECK(interruption_of(in_call(SYS_read, -ENOSYS), At::Entry) == Interruption::NotIssued);
  CHECK(interruption_of(in_call(-1, -512), At::Event) == Interruption::None);  // a register's value, no call
  CHECK(ended_by_stop(in_call(SYS_epoll_wait, -EINTR)));
  CHECK(!ended_by_stop(in_call(SYS_close, -EINTR)));
  CHECK(!ended_by_stop(in_call(-1, -EINTR)));
}

TEST(rewinding) {
  const auto back = outside_call(in_call(SYS_read, -512), Interruption::Restart, {});
  CHECK_EQUAL(back.rip, 0x1000u);
  CHECK_EQUAL(back.rax, static_cast<unsigned>(SYS_read));
  CHECK_EQUAL(back.orig_rax, kNone);
  const auto untouched = outside_call(in_call(SYS_read, 5), Interruption::None, {});
  CHECK_EQUAL(untouched.rip, 0x1002u);
  CHECK_EQUAL(untouched.rax, 5u);
}

// As in handle_signal of the kernel's arch/x86/kernel/signal.c.
TEST(interruption_with_a_handler_waiting) {
  const auto ends = [](long code, bool restart) {
    const auto interruption = code == -516 ? Interruption::RestartBlock : Interruption::Restart;
    const auto result = outside_call(in_call(SYS_read, code), interruption, {true, restart});
    return result.rip == 0x1002 && static_cast<long>(result.rax) == -EINTR;
  };
  CHECK(ends(-514, true));
  CHECK(ends(-516, true));
  CHECK(ends(-512, false));
  CHECK(!ends(-512, true));
  CHECK(!ends(-513, false));
}

TEST(waiting_signals) {
  wire::RuntimeState state{};
  state.actions[SIGUSR2 - 1].flags = SA_RESTART;
  std::vector<siginfo_t> queue(2);
  queue[0].si_signo = SIGUSR1;
  queue[1].si_signo = SIGUSR2;
  const std::uint64_t first = 1ULL << (SIGUSR1 - 1), second = 1ULL << (SIGUSR2 - 1);
  CHECK(!waiting_signal(queue, first | second, first | second, state).any);
  CHECK(!waiting_signal(queue, 0, 0, state).any);
  CHECK(waiting_signal(queue, 0, first | second, state).any);
  CHECK(!waiting_signal(queue, 0, first | second, state).restart);
  CHECK(waiting_signal(queue, first, first | second, state).restart);
}

// In this process's own memory.
TEST(original_calls) {
  const auto memory = ProcessMemory::open(::getpid());
  if (!CHECK(memory.ok())) return;
  std::uint8_t code[64] = {};
  user_regs_struct registers = in_call(SYS_restart_syscall, -516);
  registers.rip = reinterpret_cast<std::uint64_t>(code) + 62;
  static timespec time{1, 0};
  static std::uint32_t word = 7;
  const auto address = [](const void* p) { return reinterpret_cast<std::uint64_t>(p); };
  const auto with = [&](std::uint64_t rdi, std::uint64_t rsi, std::uint64_t rdx, std::uint64_t r10) {
    registers.rdi = rdi;
    registers.rsi = rsi;
    registers.rdx = rdx;
    registers.r10 = r10;
    return original_call(registers, memory.value());
  };
  CHECK_EQUAL(with(address(&time), address(&time), 0, 0), SYS_nanosleep);
  CHECK_EQUAL(with(address(&time), 0, 5, 0), SYS_nanosleep);
  CHECK_EQUAL(with(1, 0, address(&time), 0), SYS_clock_nanosleep);
  CHECK_EQUAL(with(address(&word), 128, 7, address(&time)), SYS_futex);
  CHECK_EQUAL(with(0, 0, 1000, 0), SYS_poll);
  CHECK_EQUAL(with(address(&word), 1, 1000, 0), SYS_poll);
  const std::uint8_t poll_code[] = {0xb8, 7, 0, 0, 0, 0x44, 0x89, 0xe6};  // mov $7, %eax; mov %r12d, %esi
  std::memcpy(code + 62 - 2 - sizeof poll_code, poll_code, sizeof poll_code);
  CHECK_EQUAL(with(address(&time), 0, 5, 0), SYS_poll);
}

TEST(regions_of_the_runtime) {
  wire::Descriptor runtime{};
  runtime.text_begin = wire::kWindowBase + 0x1000;
  runtime.text_end = wire::kWindowBase + 0x9000;
  runtime.blocking_begin = wire::kWindowBase + 0x4000;
  runtime.blocking_call = wire::kWindowBase + 0x4010;
  runtime.blocking_after = wire::kWindowBase + 0x4012;
  runtime.blocking_end = wire::kWindowBase + 0x4030;
  const auto region = [&](std::uint64_t offset) { return region_of(runtime, wire::kWindowBase + offset); };
  CHECK(region(0x1200) == Region::Vdso);
  CHECK(region(0x2000) == Region::Runtime);
  CHECK(region(0x4000) == Region::WindowBeforeCall);
  CHECK(region(0x4010) == Region::WindowBeforeCall);
  CHECK(region(0x4012) == Region::WindowAfterCall);
  CHECK(region(0x4014) == Region::Runtime);
  CHECK(region(0x9000) == Region::Outside);
  CHECK(region_of(runtime, wire::kHostVdsoHome + 0x5000) == Region::Vdso);
  CHECK(region_of(runtime, 0x401000) == Region::Outside);
}

TEST(frames_hold_the_context) {
  std::vector<std::uint8_t> xsave(2696);
  const std::uint64_t features = 7;
  std::memcpy(xsave.data() + arch::kXsaveHeaderOffset, &features, sizeof features);
  user_regs_struct registers{};
  registers.rip = 0x1234;
  registers.r15 = 15;
  registers.cs = 0x33;
  registers.ss = 0x2b;
  std::vector<std::uint8_t> frame(frame_bytes(xsave));
  constexpr std::uint64_t kAt = 0x7000'0000;
  const std::uint64_t ucontext_at = put_frame(frame.data(), kAt, registers, 0xff, xsave);
  arch::KernelUcontext ucontext;
  std::memcpy(&ucontext, frame.data() + (ucontext_at - kAt), sizeof ucontext);
  CHECK_EQUAL(ucontext.context.rip, 0x1234u);
  CHECK_EQUAL(ucontext.context.r15, 15u);
  CHECK_EQUAL(ucontext.signal_mask, 0xffu);
  CHECK_EQUAL(ucontext.context.fpstate % 64, 0u);
  arch::FrameSoftwareBytes software;
  std::memcpy(&software, frame.data() + (ucontext.context.fpstate - kAt) + arch::kFrameSoftwareOffset, sizeof software);
  CHECK_EQUAL(software.magic1, arch::kFrameMagic1);
  CHECK_EQUAL(software.features, 7u);
  CHECK(software.xstate_bytes >= arch::kXsaveMinBytes && software.xstate_bytes <= xsave.size());
  std::uint32_t magic2;
  std::memcpy(&magic2, frame.data() + (ucontext.context.fpstate - kAt) + software.xstate_bytes, sizeof magic2);
  CHECK_EQUAL(magic2, arch::kFrameMagic2);
}

}  // namespace
}  // namespace stasis::tracer
