#include "tracer/parasite.h"

#include <signal.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstring>

#include "tracer/frame.h"

namespace stasis::tracer {

namespace {

constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kAllSignals = ~0ULL;
constexpr std::uint64_t kSyscallBytes = 2;
constexpr std::uint64_t kTrapFlag = 0x100;
constexpr std::uint64_t kDirectionFlag = 0x400;

constexpr std::uint64_t align(std::uint64_t value) { return (value + kAlignment - 1) & ~(kAlignment - 1); }
constexpr std::uint64_t kBlockBytes = align(sizeof(wire::ParasiteBlock));

std::uint64_t frame_address(const ParasiteThread& thread) {
  return thread.slot.address + thread.slot.bytes - align(frame_bytes(thread.xsave));
}
std::uint64_t block_address(const ParasiteThread& thread) { return frame_address(thread) - kBlockBytes; }

}  // namespace

std::uint64_t ParasiteSlot::bytes_needed(std::uint64_t frame) {
  return align(kMinStackBytes + kBlockBytes + align(frame));
}

std::size_t Parasite::add(ParasiteThread& thread, const RemoteCall& call) {
  STASIS_CHECK(thread.block.count < wire::kParasiteMaxCommands);
  wire::ParasiteCommand& command = thread.block.commands[thread.block.count];
  command = {};
  command.number = call.number;
  for (int i = 0; i < 6; ++i) command.arguments[i] = call.arguments[i];
  return thread.block.count++;
}

std::uint64_t Parasite::data_address(const ParasiteThread& thread, std::uint64_t offset) {
  return block_address(thread) + offsetof(wire::ParasiteBlock, data) + offset;
}

Status Parasite::start(ParasiteThread& thread) {
  STASIS_CHECK(ParasiteSlot::bytes_needed(frame_bytes(thread.xsave)) <= thread.slot.bytes &&
               thread.slot.address % kAlignment == 0);
  std::vector<std::uint8_t> bytes(kBlockBytes + frame_bytes(thread.xsave));
  thread.block.frame =
      put_frame(bytes.data() + kBlockBytes, frame_address(thread), thread.fallback, thread.mask, thread.xsave);
  thread.block.done = 0;
  std::memcpy(bytes.data(), &thread.block, sizeof thread.block);
  STASIS_TRY(memory_.write(block_address(thread), bytes));

  user_regs_struct registers = thread.live;
  registers.rip = runtime_.parasite_entry;
  registers.rdi = block_address(thread);
  registers.rsp = block_address(thread);
  registers.eflags &= ~(kTrapFlag | kDirectionFlag);
  // In the entry stop of a call the kernel will make whatever orig_rax says: a call without effect. Elsewhere -1 means
  // that there is no call to be restarted.
  registers.orig_rax = thread.tracee->at == Tracee::At::Entry ? static_cast<unsigned long long>(SYS_getpid)
                                                              : static_cast<unsigned long long>(-1);
  STASIS_TRY(ptrace::set_registers(thread.tracee->tid, registers));
  STASIS_TRY(ptrace::set_signal_mask(thread.tracee->tid, kAllSignals));
  thread.tracee->slice = {};
  return session_.resume(*thread.tracee, ptrace::Resume::ToCall);
}

// Sends a thread on until it stands in the entry stop of the rt_sigreturn that ends a run.
Result<bool> Parasite::at_sigreturn(Tracee& tracee) {
  switch (tracee.at) {
    case Tracee::At::Gone:
      return Error::plain(ErrorKind::NotFound, "the application ended while it was being saved")
          .with_pid(session_.pid())
          .with_tid(tracee.tid);
    case Tracee::At::Signal:
      // SIGSTOP cannot be blocked; it takes effect when the session ends. Faults cannot be blocked either, and there is
      // no reason for one.
      if (tracee.signal == SIGSEGV || tracee.signal == SIGBUS || tracee.signal == SIGILL || tracee.signal == SIGSYS) {
        return Error::plain(ErrorKind::Failed, "a call in the application ended in a fault")
            .with_pid(session_.pid())
            .with_tid(tracee.tid);
      }
      break;
    case Tracee::At::Entry: {
      const auto registers = STASIS_TRY(ptrace::registers(tracee.tid));
      if (registers.rip == runtime_.parasite_sigreturn + kSyscallBytes) return true;
      break;
    }
    default:
      break;
  }
  STASIS_TRY(session_.resume(tracee, ptrace::Resume::ToCall));
  return false;
}

Status Parasite::run(const std::vector<ParasiteThread*>& threads, Deadline deadline, const CancelToken& cancel) {
  std::vector<Tracee*> tracees;
  for (ParasiteThread* thread : threads) {
    STASIS_TRY(start(*thread));
    tracees.push_back(thread->tracee);
  }
  const Session::Drive drive{[this](Tracee& tracee) { return at_sigreturn(tracee); },
                             "making calls in the application"};
  STASIS_TRY(session_.drive(tracees, drive, deadline, cancel));
  for (ParasiteThread* thread : threads) {
    thread->block = STASIS_TRY(memory_.read_value<wire::ParasiteBlock>(block_address(*thread)));
    if (thread->block.done != thread->block.count) {
      return Error::plain(ErrorKind::Failed, "the calls in the application were not all made")
          .with_tid(thread->tracee->tid);
    }
  }
  return {};
}

Status Parasite::go_home(const std::vector<ParasiteThread*>& threads, Deadline deadline, const CancelToken& cancel) {
  std::vector<Tracee*> returning;
  for (ParasiteThread* thread : threads) {
    if (!thread->in_call) {
      STASIS_TRY(session_.resume(*thread->tracee, ptrace::Resume::ToCall));
      returning.push_back(thread->tracee);
      continue;
    }
    // The mask first: between the two calls the thread still stands in front of the rt_sigreturn, which sets the same
    // mask.
    STASIS_TRY(ptrace::set_signal_mask(thread->tracee->tid, thread->mask));
    STASIS_TRY(ptrace::set_registers(thread->tracee->tid, thread->live));
  }
  const Session::Drive drive{[this](Tracee& tracee) -> Result<bool> {
                               if (tracee.at == Tracee::At::Exit || tracee.at == Tracee::At::Gone) return true;
                               STASIS_TRY(session_.resume(tracee, ptrace::Resume::ToCall));
                               return false;
                             },
                             "returning to the application's own context"};
  return session_.drive(returning, drive, deadline, cancel);
}

}  // namespace stasis::tracer
