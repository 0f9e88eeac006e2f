// What only calls in the process tell of its settings and timers (tracer/threads.h has how they are made).
#pragma once

#include <map>
#include <vector>

#include "checkpoint/settings.h"
#include "tracer/threads.h"

namespace stasis::checkpoint {

// Of the process, and the timer slack of each thread.
class SettingsQuestion : public tracer::Question {
 public:
  void ask(tracer::ParasiteThread& thread, bool first) override;
  Status take(const tracer::ParasiteThread& thread, bool first) override;

  Settings answer;

 private:
  std::size_t securebits_call_ = 0;
  std::map<pid_t, std::size_t> slack_calls_;
};

// How POSIX timers stand. The kernel counts overruns when a signal is taken (kernel/time/posix-timers.c, posixtimer_rearm): so one
// that waits is taken, and queued again as it came, with the count in it, by one list of calls, which the thread completes
// whatever becomes of the tracer.
class TimersQuestion : public tracer::Question {
 public:
  explicit TimersQuestion(pid_t pid) : pid_(pid) {}

  void ask(tracer::ParasiteThread& thread, bool first) override;
  Status take(const tracer::ParasiteThread& thread, bool first) override;

  TimerStates answer;
  std::int64_t answered_ns = 0;  // CLOCK_MONOTONIC when it was

 private:
  struct Taken {
    std::size_t call, info;
  };
  void count_overruns(tracer::ParasiteThread& thread, bool first);

  pid_t pid_;
  std::vector<std::int32_t> ids_;
  std::size_t first_call_ = 0, data_ = 0;
  std::map<pid_t, std::vector<Taken>> taken_;
};

// All of them for one stopped member: questions() go to tracer::read_process, then record() adds what was found.
class SettingsReader {
 public:
  explicit SettingsReader(const Subject& subject) : subject_(subject), timers_(subject.pid) {}

  // With `other` first.
  tracer::Questions questions(tracer::Question& other) { return {&other, &settings_, &timers_}; }
  // After record_signals and record_process. `status` is /proc/PID/status; `clock` the image's, which is that of the first member.
  Status record(const tracer::ProcessState& state, const procfs::Fields& status, const image::Clock& clock,
                image::ProcessImage& section);

 private:
  const Subject& subject_;
  SettingsQuestion settings_;
  TimersQuestion timers_;
};

}  // namespace stasis::checkpoint
