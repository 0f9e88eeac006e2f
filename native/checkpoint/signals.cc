// Signal actions, queued signals and interval timers as records.
//
// The kernel's table of actions holds the runtime's thunks, so the program's view is taken from the runtime's state. An
// action that the program never set is default, or ignored if it was born so.
#include <signal.h>

#include <cstring>

#include "checkpoint/records.h"

namespace stasis::checkpoint {

namespace {

constexpr std::uint64_t kIgnore = 1;  // SIG_IGN

void record_queue(const std::vector<siginfo_t>& queue, pid_t tid, image::ProcessImage& section) {
  for (const siginfo_t& info : queue) {
    image::QueuedSignal record;
    record.tid = tid;
    record.signal = static_cast<std::uint32_t>(info.si_signo);
    record.info.resize(sizeof info);
    std::memcpy(record.info.data(), &info, sizeof info);
    section.queued_signals.push_back(std::move(record));
  }
}

}  // namespace

void record_signals(const tracer::ProcessState& state, const procfs::Fields& status, image::ProcessImage& section) {
  const std::uint64_t ignored = status.number("SigIgn", 16);
  for (std::uint32_t signal = 1; signal <= wire::kSignalCount; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    const std::uint64_t bit = 1ULL << (signal - 1);
    image::Action record;
    record.signal = signal;
    if ((state.runtime.actions_known & bit) != 0) {
      const wire::KernelSigaction& action = state.runtime.actions[signal - 1];
      record.handler = action.handler;
      record.flags = action.flags;
      record.restorer = action.restorer;
      record.mask = action.mask;
      // SA_RESETHAND: the kernel went back to the default action by itself (signal(7)); the runtime's own SIGSYS action
      // is never reset.
      const std::uint64_t caught = status.number("SigCgt", 16);
      if (signal != SIGSYS && record.handler > kIgnore && ((caught | ignored) & bit) == 0) record.handler = 0;
    } else if ((ignored & bit) != 0) {
      record.handler = kIgnore;
    } else {
      continue;
    }
    section.actions.push_back(record);
  }
  record_queue(state.queued, 0, section);
  for (const tracer::ThreadState& thread : state.threads) record_queue(thread.queued, thread.tid, section);
  section.itimers.values = state.interval_timers;
}

}  // namespace stasis::checkpoint
