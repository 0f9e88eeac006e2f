// Signals: actions, what is queued, interval timers.
#include <algorithm>
#include <csignal>
#include <cstring>

#include "restore/builders.h"

namespace stasis::restore {

namespace {

// Signals that are not listed have their default action; the runtime sets those too, since what a process inherits, an
// ignored SIGHUP or SIGPIPE, is not the program's.
void plan_actions(const image::ProcessImage& section, PlanBuilder& plan) {
  for (const image::Action& action : section.actions) {
    if (action.signal == 0 || action.signal > wire::kSignalCount || action.signal == SIGKILL ||
        action.signal == SIGSTOP)
      continue;
    plan.actions.push_back(
        {.signal = action.signal,
         .reserved = 0,
         .action = {
             .handler = action.handler, .flags = action.flags, .restorer = action.restorer, .mask = action.mask}});
  }
}

Status plan_queued(const image::ProcessImage& section, PlanBuilder& plan) {
  for (const image::QueuedSignal& queued : section.queued_signals) {
    wire::QueuedSignal entry{};
    entry.signal = queued.signal;
    entry.thread = wire::kNoSlot;
    if (queued.tid != 0) {
      const auto thread = std::find_if(section.threads.begin(), section.threads.end(),
                                       [&](const image::Thread& candidate) { return candidate.tid == queued.tid; });
      if (thread == section.threads.end()) {
        return Error::plain(ErrorKind::Damaged, "signal " + std::to_string(queued.signal) +
                                                    " is queued to a thread that the image does not have")
            .with_tid(queued.tid);
      }
      entry.thread = static_cast<std::uint32_t>(thread - section.threads.begin());
    }
    if (queued.info.size() != sizeof entry.info) {
      return Error::plain(ErrorKind::Damaged, "a queued signal without its 128 bytes of siginfo");
    }
    std::memcpy(entry.info, queued.info.data(), sizeof entry.info);
    plan.signals.push_back(entry);
  }
  return {};
}

}  // namespace

Status plan_signals(const image::ProcessImage& section, PlanBuilder& plan) {
  plan_actions(section, plan);
  for (std::size_t i = 0; i < section.itimers.values.size(); ++i)
    plan.plan.itimers[i / 4][i % 4] = section.itimers.values[i];
  return plan_queued(section, plan);
}

}  // namespace stasis::restore
