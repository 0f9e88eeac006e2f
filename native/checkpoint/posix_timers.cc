// POSIX timers: /proc/PID/timers (CONFIG_CHECKPOINT_RESTORE) tells what they were made with, calls in the process how they
// stand (questions.h). The kernel tells what is left of a time, whether it was set as an absolute one or not.
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "checkpoint/settings.h"

namespace stasis::checkpoint {

namespace {

// One entry:
//     ID: 1
//     signal: 10/000000000000002a
//     notify: thread/tid.4711        signal, none or thread; tid or pid
//     ClockID: 1
Result<image::PosixTimer> parse(const char* text) {
  image::PosixTimer timer;
  char how[16], whom[4];
  int id = 0, signal = 0, task = 0, clock = 0;
  unsigned long long value = 0;
  if (std::sscanf(text, "ID: %d signal: %d/%llx notify: %15[a-z]/%3[a-z].%d ClockID: %d", &id, &signal, &value, how,
                  whom, &task, &clock) != 7) {
    return Error::plain(ErrorKind::Failed, "understanding /proc/PID/timers");
  }
  timer.id = id;
  timer.clock = clock;
  timer.signal = static_cast<std::uint32_t>(signal);
  timer.value = value;
  const bool to_thread = std::strcmp(whom, "tid") == 0;
  timer.notify = std::strcmp(how, "none") == 0 ? image::TimerNotify::None
                 : to_thread                   ? image::TimerNotify::Thread
                                               : image::TimerNotify::Signal;
  timer.tid = to_thread ? task : 0;
  return timer;
}

bool belongs_to(const image::QueuedSignal& queued, std::int32_t id) {
  siginfo_t info;
  std::memcpy(&info, queued.info.data(), sizeof info);
  return info.si_code == SI_TIMER && info.si_timerid == id;
}

}  // namespace

Status record_posix_timers(const Subject& subject, const TimerStates& timers, image::ProcessImage& section) {
  if (timers.empty()) return {};
  const std::string text = STASIS_TRY(procfs::read_text(subject.pid, "timers"));
  for (std::size_t at = text.find("ID: "); at != std::string::npos; at = text.find("\nID: ", at)) {
    if (text[at] == '\n') ++at;
    image::PosixTimer record = STASIS_TRY(parse(text.c_str() + at));
    const auto found = timers.find(record.id);
    if (found == timers.end()) continue;
    record.interval_ns = found->second.interval_ns;
    record.remaining_ns = found->second.remaining_ns;
    record.overruns = found->second.overruns;
    record.waits = std::erase_if(section.queued_signals,
                                 [&](const image::QueuedSignal& queued) { return belongs_to(queued, record.id); }) != 0;
    section.posix_timers.push_back(record);
  }
  std::reverse(section.posix_timers.begin(), section.posix_timers.end());  // oldest first
  return {};
}

}  // namespace stasis::checkpoint
