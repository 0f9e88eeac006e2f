#include "tracer/parasite.h"

#include <signal.h>
#include <sys/syscall.h>

#include <cstring>
#include <span>

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
constexpr std::uint64_t kCommandBytes = sizeof(wire::ParasiteCommand);
static_assert(kCommandBytes == kAlignment);

std::uint64_t frame_address(const ParasiteThread& thread) {
  return thread.slot.address + thread.slot.bytes - align(frame_bytes(thread.xsave));
}
std::uint64_t commands_address(const ParasiteThread& thread) {
  return Parasite::data_address(thread, 0) - thread.commands.size() * kCommandBytes;
}
std::uint64_t block_address(const ParasiteThread& thread) { return commands_address(thread) - kBlockBytes; }

template <typename T>
std::span<const std::uint8_t> bytes_of(const std::vector<T>& items) {
  return {reinterpret_cast<const std::uint8_t*>(items.data()), items.size() * sizeof(T)};
}

}  // namespace

std::uint64_t ParasiteSlot::bytes_needed(std::uint64_t frame, std::uint64_t data, std::uint64_t commands) {
  return kMinStackBytes + kBlockBytes + commands * kCommandBytes + align(data) + align(frame);
}

std::size_t Parasite::add(ParasiteThread& thread, const RemoteCall& call) {
  wire::ParasiteCommand& command = thread.commands.emplace_back();
  command.number = call.number;
  for (int i = 0; i < 6; ++i) command.arguments[i] = call.arguments[i];
  return thread.commands.size() - 1;
}

std::size_t Parasite::reserve(ParasiteThread& thread, std::size_t bytes) {
  const std::size_t offset = align(thread.data.size());
  thread.data.resize(offset + bytes);
  return offset;
}

std::uint64_t Parasite::data_address(const ParasiteThread& thread, std::uint64_t offset) {
  return frame_address(thread) - thread.slot.data_bytes + offset;
}

bool Parasite::fits(const ParasiteThread& thread) {
  return thread.slot.address % kAlignment == 0 && thread.slot.data_bytes % kAlignment == 0 &&
         thread.data.size() <= thread.slot.data_bytes &&
         ParasiteSlot::bytes_needed(frame_bytes(thread.xsave), thread.slot.data_bytes, thread.commands.size()) <=
             thread.slot.bytes;
}

Status Parasite::start(ParasiteThread& thread) {
  const auto tid = static_cast<std::uint64_t>(thread.tracee->tid);
  if (thread.bell != 0) {
    add(thread,
        {SYS_tgkill, {static_cast<std::uint64_t>(session_.pid()), tid, static_cast<std::uint64_t>(thread.bell)}});
  }
  STASIS_CHECK(fits(thread));
  std::vector<std::uint8_t> frame(frame_bytes(thread.xsave));
  wire::ParasiteBlock block{};
  block.frame = put_frame(frame.data(), frame_address(thread), thread.fallback, thread.mask, thread.xsave);
  block.commands = commands_address(thread);
  block.count = static_cast<std::uint32_t>(thread.commands.size());
  STASIS_TRY(memory_.write(frame_address(thread), frame));
  if (!thread.data.empty()) STASIS_TRY(memory_.write(data_address(thread, 0), thread.data));
  if (!thread.commands.empty()) STASIS_TRY(memory_.write(commands_address(thread), bytes_of(thread.commands)));
  STASIS_TRY(memory_.write_value(block_address(thread), block));

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
  const std::uint64_t open = thread.bell != 0 ? 1ULL << (thread.bell - 1) : 0;
  STASIS_TRY(ptrace::set_signal_mask(thread.tracee->tid, kAllSignals & ~open));
  thread.tracee->slice = {};
  return session_.resume(*thread.tracee, thread.bell != 0 ? ptrace::Resume::Free : ptrace::Resume::ToCall);
}

// Sends a thread on until it stands in the entry stop of the rt_sigreturn that ends a run.
Result<bool> Parasite::at_sigreturn(ParasiteThread& thread) {
  Tracee& tracee = *thread.tracee;
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
      // Ours, or somebody else's: the program ignores it.
      if (tracee.signal == thread.bell) tracee.signal = 0;
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
  std::vector<Job> jobs;
  for (ParasiteThread* thread : threads) jobs.push_back({this, thread});
  return run_all(jobs, deadline, cancel);
}

Status Parasite::run_all(const std::vector<Job>& jobs, Deadline deadline, const CancelToken& cancel) {
  std::vector<Session::Driven> driven;
  for (const Job& job : jobs) {
    STASIS_TRY(job.parasite->start(*job.thread));
    driven.push_back({&job.parasite->session_, job.thread->tracee,
                      [&job](Tracee&) { return job.parasite->at_sigreturn(*job.thread); }});
  }
  STASIS_TRY(Session::drive_all(driven, "making calls in the application", deadline, cancel));
  for (const Job& job : jobs) STASIS_TRY(job.parasite->fetch(*job.thread));
  return {};
}

Status Parasite::fetch(ParasiteThread& thread) {
  const auto block = STASIS_TRY(memory_.read_value<wire::ParasiteBlock>(block_address(thread)));
  if (block.done != thread.commands.size()) {
    return Error::plain(ErrorKind::Failed, "the calls in the application were not all made")
        .with_tid(thread.tracee->tid);
  }
  auto* commands = reinterpret_cast<std::uint8_t*>(thread.commands.data());
  const ProcessMemory::Transfer transfers[] = {
      {commands_address(thread), commands, thread.commands.size() * kCommandBytes},
      {data_address(thread, 0), thread.data.data(), thread.data.size()},
  };
  STASIS_TRY(memory_.read(std::span(transfers).first(thread.data.empty() ? 1 : 2)));
  if (thread.bell != 0) thread.commands.pop_back();
  return {};
}

Status Parasite::go_home(const std::vector<ParasiteThread*>& threads, Deadline deadline, const CancelToken& cancel) {
  std::vector<Job> jobs;
  for (ParasiteThread* thread : threads) jobs.push_back({this, thread});
  return go_home_all(jobs, deadline, cancel);
}

Status Parasite::go_home_all(const std::vector<Job>& jobs, Deadline deadline, const CancelToken& cancel) {
  std::vector<Session::Driven> returning;
  for (const Job& job : jobs) {
    Session& session = job.parasite->session_;
    Tracee& tracee = *job.thread->tracee;
    if (!job.thread->in_call) {
      STASIS_TRY(session.resume(tracee, ptrace::Resume::ToCall));
      returning.push_back({&session, &tracee, [&session](Tracee& at) -> Result<bool> {
                             if (at.at == Tracee::At::Exit || at.at == Tracee::At::Gone) return true;
                             STASIS_TRY(session.resume(at, ptrace::Resume::ToCall));
                             return false;
                           }});
      continue;
    }
    // The mask first: between the two calls the thread still stands in front of the rt_sigreturn, which sets the same
    // mask.
    STASIS_TRY(ptrace::set_signal_mask(tracee.tid, job.thread->mask));
    STASIS_TRY(ptrace::set_registers(tracee.tid, job.thread->live));
  }
  STASIS_TRY(Session::drive_all(returning, "returning to the application's own context", deadline, cancel));
  for (const Job& job : jobs) {
    if (!job.thread->rest_queued || job.thread->tracee->at == Tracee::At::Gone) continue;
    user_regs_struct registers = job.thread->fallback;
    registers.rip += kSyscallBytes;
    STASIS_TRY(ptrace::set_registers(job.thread->tracee->tid, registers));
  }
  return {};
}

}  // namespace stasis::tracer
