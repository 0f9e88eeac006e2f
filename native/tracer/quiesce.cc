#include "tracer/quiesce.h"

#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <map>

#include "arch/x86_64/sigframe.h"
#include "tracer/frame.h"
#include "wire/layout.h"

namespace stasis::tracer {

namespace {

constexpr int kSeccompCode = 1;  // SYS_SECCOMP
constexpr auto kRuntimeSlice = std::chrono::microseconds(1000);
constexpr auto kShortSlice = std::chrono::microseconds(10);
constexpr auto kShortSliceStep = std::chrono::microseconds(7);
constexpr unsigned kShortSliceSteps = 11;

bool is_trap(const siginfo_t& info) { return info.si_signo == SIGSYS && info.si_code == kSeccompCode; }

// In the runtime's code r15 tells what it works for (runtime/fast_call.h).
bool in_fast_call(const user_regs_struct& registers) { return registers.r15 != 0 && (registers.r15 & 1) == 0; }

Result<bool> handled_signal_waits(const Tracee& tracee, std::uint64_t caught) {
  const std::uint64_t open = caught & ~STASIS_TRY(ptrace::signal_mask(tracee.tid));
  for (const auto queue : {ptrace::Queue::Thread, ptrace::Queue::Process}) {
    for (const siginfo_t& info : STASIS_TRY(ptrace::queued_signals(tracee.tid, queue))) {
      if (info.si_signo >= 1 && info.si_signo <= 64 && (open >> (info.si_signo - 1) & 1) != 0) return true;
    }
  }
  return false;
}

Status rewind_if_ended_by_stop(Tracee& tracee, std::uint64_t caught, user_regs_struct& registers) {
  if (!ended_by_stop(registers)) return {};
  if (STASIS_TRY(handled_signal_waits(tracee, caught))) return {};  // the call did end with EINTR
  registers = rewound(registers);
  tracee.put_back = true;
  return ptrace::set_registers(tracee.tid, registers);
}

class Quiesce {
 public:
  Quiesce(Session& session, const ProcessMemory& memory, const wire::Descriptor& runtime, std::uint64_t caught)
      : session_(session), memory_(memory), runtime_(runtime), caught_(caught) {}

  // True when the thread is settled (or gone); false when it was sent on.
  Result<bool> on_stop(Tracee& tracee);

  std::map<pid_t, SettledThread>& settled() { return settled_; }

 private:
  Result<bool> send_on(Tracee& tracee, std::chrono::microseconds slice = kRuntimeSlice,
                       ptrace::Resume how = ptrace::Resume::ToCall) {
    tracee.slice = slice;
    STASIS_TRY(session_.resume(tracee, how));
    return false;
  }
  // Slices of changing length, lest a loop be hit at the same place each time.
  std::chrono::microseconds short_slice() {
    return kShortSlice + kShortSliceStep * (++short_slices_ % kShortSliceSteps);
  }
  Result<bool> settle(Tracee& tracee, const user_regs_struct& registers, Place place);
  Result<bool> trap_queued(const Tracee& tracee);
  Result<bool> in_stub(std::uint64_t rip);
  Status abandon_fast_call(const Tracee& tracee, user_regs_struct& registers);

  Session& session_;
  const ProcessMemory& memory_;
  const wire::Descriptor& runtime_;
  std::uint64_t caught_;
  unsigned short_slices_ = 0;
  std::map<pid_t, SettledThread> settled_;
};

Result<bool> Quiesce::trap_queued(const Tracee& tracee) {
  for (const siginfo_t& info : STASIS_TRY(ptrace::queued_signals(tracee.tid, ptrace::Queue::Thread))) {
    if (is_trap(info)) return true;
  }
  return false;
}

// Threads that run on may add areas, so the process is asked.
Result<bool> Quiesce::in_stub(std::uint64_t rip) {
  const auto field = [this](std::size_t offset) { return runtime_.state + offset; };
  const auto count = STASIS_TRY(memory_.read_value<u32>(field(offsetof(wire::RuntimeState, stub_area_count))));
  for (u32 i = 0; i < std::min(count, wire::kMaxStubAreas); ++i) {
    const auto area = STASIS_TRY(memory_.read_value<wire::StubArea>(field(offsetof(wire::RuntimeState, stub_areas)) +
                                                                    i * sizeof(wire::StubArea)));
    if (rip >= area.begin && rip < area.end) return true;
  }
  return false;
}

// A fast call that waits in the kernel, in an open of a FIFO for instance: the thread is put back in front of its system
// call, as the runtime does for a signal (runtime/fast_call.cc).
Status Quiesce::abandon_fast_call(const Tracee& tracee, user_regs_struct& registers) {
  const auto program =
      STASIS_TRY(memory_.read_value<arch::KernelUcontext>(registers.r15 + wire::kFastCallProgramOffset));
  const std::uint64_t flags =
      STASIS_TRY(memory_.read_value<std::uint64_t>(program.context.rsp - wire::kFastCallFlagsBelow));
  registers = registers_of(program.context, registers);
  registers.rip -= 2;  // the length of `syscall`
  registers.eflags = flags;
  return ptrace::set_registers(tracee.tid, registers);
}

Result<bool> Quiesce::settle(Tracee& tracee, const user_regs_struct& registers, Place place) {
  SettledThread thread;
  thread.tracee = &tracee;
  thread.registers = registers;
  thread.place = place;
  thread.interruption = interruption_of(registers, tracee.at);
  if (thread.interruption != Interruption::None) {
    thread.call = static_cast<long>(registers.orig_rax);
    if (thread.call == SYS_restart_syscall && place == Place::InWindow) {
      const auto frame = STASIS_TRY(memory_.read_value<arch::KernelUcontext>(registers.rbx));
      thread.call = static_cast<long>(frame.context.rax);
    } else if (thread.call == SYS_restart_syscall) {
      thread.call = original_call(registers, memory_);
    }
  }
  settled_[tracee.tid] = thread;
  return true;
}

Result<bool> Quiesce::on_stop(Tracee& tracee) {
  if (tracee.at == Tracee::At::Gone) return true;
  if (session_.executed()) {
    return Error::plain(ErrorKind::Busy, "the application executed another program just now", "try again")
        .with_pid(session_.pid());
  }
  if (tracee.at == Tracee::At::Signal) {
    const siginfo_t info = STASIS_TRY(ptrace::signal_info(tracee.tid));
    if (is_trap(info)) return send_on(tracee);
    // Dropping a signal and putting it back later would lose it if this process died: it is delivered, and the
    // interrupt makes the thread stop in front of the first instruction of its handler.
    STASIS_TRY(session_.interrupt(tracee));
    return send_on(tracee);
  }
  user_regs_struct registers = STASIS_TRY(ptrace::registers(tracee.tid));
  // rt_sigtimedwait that waits for SIGSYS would see the trap's signal in its queue as well, but it cannot be stopped
  // and trap at once.
  if (tracee.at != Tracee::At::Entry && STASIS_TRY(trap_queued(tracee))) return send_on(tracee);
  if (tracee.at == Tracee::At::Exit && interruption_of(registers, tracee.at) != Interruption::None) {
    // The kernel has not looked at the code in rax yet; behind the next stop it has.
    STASIS_TRY(session_.interrupt(tracee));
    return send_on(tracee);
  }
  STASIS_TRY(rewind_if_ended_by_stop(tracee, caught_, registers));
  switch (region_of(runtime_, registers.rip)) {
    case Region::Outside:
      if (STASIS_TRY(in_stub(registers.rip))) return send_on(tracee);
      return settle(tracee, registers, Place::Outside);
    case Region::WindowBeforeCall:
      return settle(tracee, registers, Place::InWindow);
    case Region::WindowAfterCall: {
      const bool ended_by_signal = static_cast<long>(registers.rax) == -EINTR && tracee.at != Tracee::At::Entry &&
                                   STASIS_TRY(handled_signal_waits(tracee, caught_));
      if (interruption_of(registers, tracee.at) != Interruption::None || ended_by_signal) {
        return settle(tracee, registers, Place::InWindow);
      }
      return send_on(tracee);
    }
    case Region::Vdso:
      return send_on(tracee, short_slice());
    case Region::Runtime:
      if (registers.rip == runtime_.fast_call_after && tracee.at != Tracee::At::Entry &&
          interruption_of(registers, tracee.at) != Interruption::None) {
        STASIS_TRY(abandon_fast_call(tracee, registers));
        return settle(tracee, registers, Place::Outside);
      }
      // One that ends returns to the program by a jump. A program that makes one after the other would be found at their
      // calls each time.
      if (in_fast_call(registers)) return send_on(tracee, short_slice(), ptrace::Resume::Free);
      return send_on(tracee);
  }
  return true;
}

}  // namespace

Session::AtStop rewinding(std::uint64_t caught) {
  return [caught](Tracee& tracee) -> Status {
    if (tracee.at != Tracee::At::Event && tracee.at != Tracee::At::Exit) return {};
    user_regs_struct registers = STASIS_TRY(ptrace::registers(tracee.tid));
    return rewind_if_ended_by_stop(tracee, caught, registers);
  };
}

Region region_of(const wire::Descriptor& runtime, std::uint64_t rip) {
  const auto inside = [rip](std::uint64_t begin, std::uint64_t end) { return rip >= begin && rip < end; };
  if (inside(wire::kHostVdsoHome, wire::kHostVdsoHome + wire::kHostVdsoMaxBytes) ||
      inside(wire::kOwnVdsoAddress, wire::kOwnVdsoAddress + wire::kPageBytes)) {
    return Region::Vdso;
  }
  if (inside(runtime.blocking_begin, runtime.blocking_call + 1)) return Region::WindowBeforeCall;
  if (rip == runtime.blocking_after) return Region::WindowAfterCall;
  if (inside(runtime.text_begin, runtime.text_end)) return Region::Runtime;
  return Region::Outside;
}

Result<std::vector<SettledThread>> quiesce(Session& session, const ProcessMemory& memory,
                                           const wire::Descriptor& runtime, std::uint64_t caught, Deadline deadline,
                                           const CancelToken& cancel) {
  Quiesce work(session, memory, runtime, caught);
  const Session::Drive drive{[&](Tracee& tracee) { return work.on_stop(tracee); }, "leaving the runtime"};
  do {
    STASIS_TRY(session.stop_all(deadline, cancel));
    std::vector<Tracee*> open;
    for (auto& tracee : session.threads()) {
      if (work.settled().count(tracee->tid) == 0) open.push_back(tracee.get());
    }
    STASIS_TRY(session.drive(open, drive, deadline, cancel));
    session.drop_gone();
  } while (STASIS_TRY(session.adopt_new_threads()));  // a thread that ran on may have made another
  std::vector<SettledThread> result;
  for (auto& tracee : session.threads()) {
    const auto found = work.settled().find(tracee->tid);
    if (found != work.settled().end()) result.push_back(found->second);
  }
  if (result.empty()) {
    return Error::plain(ErrorKind::NotFound, "the application ended while it was being stopped")
        .with_pid(session.pid());
  }
  return result;
}

}  // namespace stasis::tracer
