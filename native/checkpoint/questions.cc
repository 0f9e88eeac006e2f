#include "checkpoint/questions.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "os/procfs.h"

namespace stasis::checkpoint {

namespace {

using tracer::Parasite;
using tracer::ParasiteThread;

constexpr std::int64_t kSecond = 1'000'000'000;
// A thread that is not the first has room for few.
constexpr std::size_t kMostTakenByOther = 2;

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

template <class T>
T value_at(const ParasiteThread& thread, std::size_t offset) {
  T value;
  std::memcpy(&value, thread.data.data() + offset, sizeof value);
  return value;
}

std::vector<std::int32_t> timers_of(pid_t pid) {
  std::vector<std::int32_t> ids;
  const auto text = procfs::read_text(pid, "timers");
  if (!text.ok()) return ids;  // without CONFIG_POSIX_TIMERS there are none
  const std::string& lines = text.value();
  for (std::size_t at = lines.rfind("ID: ", 0); at != std::string::npos; at = lines.find("\nID: ", at + 1)) {
    ids.push_back(std::atoi(lines.c_str() + lines.find(' ', at)));
  }
  return ids;
}

}  // namespace

void SettingsQuestion::ask(ParasiteThread& thread, bool first) {
  slack_calls_[thread.tracee->tid] = Parasite::add(thread, {SYS_prctl, {PR_GET_TIMERSLACK}});
  if (first) securebits_call_ = Parasite::add(thread, {SYS_prctl, {PR_GET_SECUREBITS}});
}

Status SettingsQuestion::take(const ParasiteThread& thread, bool first) {
  const std::int64_t slack = thread.result(slack_calls_[thread.tracee->tid]);
  if (slack > 0) answer.timer_slack_ns[thread.tracee->tid] = static_cast<std::uint64_t>(slack);
  if (first) answer.securebits = static_cast<std::uint32_t>(std::max<std::int64_t>(thread.result(securebits_call_), 0));
  return {};
}

// Of the signals that wait for this thread, and if it is the first for the process.
void TimersQuestion::count_overruns(ParasiteThread& thread, bool first) {
  const pid_t tid = thread.tracee->tid;
  std::size_t count = 0;
  for (const bool shared : {false, true}) {
    if (shared && !first) continue;
    const auto queue = ptrace::queued_signals(tid, shared ? ptrace::Queue::Process : ptrace::Queue::Thread);
    if (!queue.ok()) continue;
    for (const siginfo_t& info : queue.value()) {
      if (info.si_code != SI_TIMER || info.si_overrun != 0 || (!first && count == kMostTakenByOther)) continue;
      ++count;
      const auto signal = static_cast<std::uint64_t>(info.si_signo);
      const std::size_t data = Parasite::reserve(thread, 32 + sizeof info);  // set, no time, siginfo
      const std::uint64_t set = 1ULL << (signal - 1);
      std::memcpy(thread.data.data() + data, &set, sizeof set);
      const std::uint64_t address = Parasite::data_address(thread, data);
      taken_[tid].push_back(
          {Parasite::add(thread, {SYS_rt_sigtimedwait, {address, address + 32, address + 8, sizeof set}}), data + 32});
      const auto process = static_cast<std::uint64_t>(pid_);
      if (shared) {
        Parasite::add(thread, {SYS_rt_sigqueueinfo, {process, signal, address + 32}});
      } else {
        Parasite::add(thread,
                      {SYS_rt_tgsigqueueinfo, {process, static_cast<std::uint64_t>(tid), signal, address + 32}});
      }
    }
  }
}

void TimersQuestion::ask(ParasiteThread& thread, bool first) {
  if (first) ids_ = timers_of(pid_);
  if (ids_.empty()) return;
  count_overruns(thread, first);
  if (!first) return;
  data_ = Parasite::reserve(thread, ids_.size() * sizeof(itimerspec));
  first_call_ = thread.commands.size();
  for (std::size_t i = 0; i < ids_.size(); ++i) {
    Parasite::add(thread, {SYS_timer_gettime,
                           {static_cast<std::uint64_t>(ids_[i]),
                            Parasite::data_address(thread, data_ + i * sizeof(itimerspec))}});
  }
}

Status TimersQuestion::take(const ParasiteThread& thread, bool first) {
  if (first) {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    answered_ns = nanoseconds(now);
  }
  for (std::size_t i = 0; first && i < ids_.size(); ++i) {
    const std::int64_t result = thread.result(first_call_ + i);
    if (result < 0) {
      return Error::of_errno(static_cast<int>(-result), "timer_gettime", "reading a POSIX timer").with_pid(pid_);
    }
    const auto setting = value_at<itimerspec>(thread, data_ + i * sizeof(itimerspec));
    TimerState& state = answer[ids_[i]];
    state.interval_ns = nanoseconds(setting.it_interval);
    state.remaining_ns = nanoseconds(setting.it_value);
  }
  for (const Taken& taken : taken_[thread.tracee->tid]) {
    const auto info = value_at<siginfo_t>(thread, taken.info);
    if (thread.result(taken.call) < 0 || info.si_code != SI_TIMER) continue;
    answer[info.si_timerid].overruns = static_cast<std::uint32_t>(std::max(info.si_overrun, 0));
  }
  return {};
}

Status SettingsReader::record(const tracer::ProcessState& state, const procfs::Fields& status,
                              const image::Clock& clock, image::ProcessImage& section) {
  STASIS_TRY(record_limits(subject_, section));
  record_credentials(settings_.answer, status, section);
  STASIS_TRY(record_scheduling(state, settings_.answer, section));
  STASIS_TRY(record_posix_timers(subject_, timers_.answer, section));
  // The clocks were read before the timers were: what was left then is what counts.
  const std::int64_t later = timers_.answered_ns + state.runtime.monotonic_offset_ns - clock.monotonic_ns;
  for (image::PosixTimer& timer : section.posix_timers) {
    if (timer.clock >= 0 && timer.remaining_ns != 0 && later > 0) timer.remaining_ns += later;
  }
  return {};
}

}  // namespace stasis::checkpoint
