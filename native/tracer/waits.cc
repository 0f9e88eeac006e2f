#include "tracer/waits.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <optional>

#include "os/procfs.h"
#include "wire/waits.h"

namespace stasis::tracer {

namespace {

constexpr std::int64_t kSecond = 1'000'000'000, kMillisecond = 1'000'000;
constexpr std::int64_t kAboutToEnd = 10 * kMillisecond, kShortWait = kSecond;
constexpr std::uint64_t kSyscallBytes = 2;
constexpr std::size_t kProcessorField = 39;  // of /proc/PID/stat
constexpr int kReadings = 3;                 // of a processor's clock, of which the best is taken

std::int64_t now_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * kSecond + time.tv_nsec;
}

// The number behind `key` and a colon in a text like /proc/PID/sched; its fraction has six digits where there is one.
std::optional<std::int64_t> number_of(const std::string& text, const std::string& key) {
  std::size_t at = text.find("\n" + key + " ");
  if (at != std::string::npos) at = text.find(':', at);
  if (at == std::string::npos) return std::nullopt;
  at = text.find_first_not_of(' ', at + 1);
  if (at == std::string::npos) return std::nullopt;
  std::int64_t whole = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), whole);
  if (error != std::errc()) return std::nullopt;
  if (end == text.data() + text.size() || *end != '.') return whole;
  std::int64_t fraction = 0;
  std::from_chars(end + 1, std::min(end + 7, text.data() + text.size()), fraction);
  return whole * kMillisecond + fraction;
}

std::optional<std::int64_t> last_run_ns(const std::string& sched) { return number_of(sched, "se.exec_start"); }

std::optional<std::int64_t> sleeps_of(const std::string& sched) { return number_of(sched, "nr_voluntary_switches"); }

// What to add to the clock of a processor's scheduler to have the monotonic one; a little more at most.
class ProcessorClocks {
 public:
  ProcessorClocks() { allowed_ = ::sched_getaffinity(0, sizeof before_, &before_) == 0; }
  ProcessorClocks(const ProcessorClocks&) = delete;
  ProcessorClocks& operator=(const ProcessorClocks&) = delete;
  ~ProcessorClocks() {
    if (moved_) ::sched_setaffinity(0, sizeof before_, &before_);
  }

  std::optional<std::int64_t> offset(std::uint64_t processor) {
    const auto known = offsets_.find(processor);
    if (known != offsets_.end()) return known->second;
    return offsets_[processor] = read(processor);
  }

 private:
  std::optional<std::int64_t> read(std::uint64_t processor) {
    if (!allowed_ || processor >= CPU_SETSIZE) return std::nullopt;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    if (::sched_setaffinity(0, sizeof one, &one) != 0) return std::nullopt;
    moved_ = true;
    std::optional<std::int64_t> best;
    for (int reading = 0; reading < kReadings; ++reading) {
      ::sched_yield();  // notes the time
      const auto text = procfs::read_whole("/proc/thread-self/sched");
      const std::int64_t after = now_ns();
      if (!text.ok()) return std::nullopt;
      const auto ran = last_run_ns(text.value());
      if (!ran.has_value()) return std::nullopt;
      best = std::min(best.value_or(after - *ran), after - *ran);
    }
    return best;
  }

  cpu_set_t before_{};
  bool allowed_ = false, moved_ = false;
  std::map<std::uint64_t, std::optional<std::int64_t>> offsets_;
};

// Times of other clocks than those that go on while a thread sleeps say nothing about it.
bool is_wall_clock(std::uint64_t clock) {
  constexpr clockid_t kClocks[] = {CLOCK_REALTIME,       CLOCK_MONOTONIC,      CLOCK_BOOTTIME,
                                   CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM, CLOCK_TAI};
  return std::find(std::begin(kClocks), std::end(kClocks), static_cast<clockid_t>(clock)) != std::end(kClocks);
}

std::optional<std::int64_t> time_at(const ProcessMemory& memory, std::uint64_t address) {
  const auto time = memory.read_value<timespec>(address);
  if (!time.ok() || time.value().tv_sec < 0 || time.value().tv_nsec < 0 || time.value().tv_nsec >= kSecond ||
      time.value().tv_sec >= INT64_MAX / kSecond) {
    return std::nullopt;
  }
  return time.value().tv_sec * kSecond + time.value().tv_nsec;
}

using Arguments = std::array<std::uint64_t, 6>;

Arguments arguments_of(const user_regs_struct& r) { return {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9}; }

bool is_relative(long call, const Arguments& arguments) {
  if (call == SYS_clock_nanosleep) return (arguments[1] & TIMER_ABSTIME) == 0 && is_wall_clock(arguments[0]);
  if (call == SYS_futex) return (arguments[1] & static_cast<std::uint64_t>(FUTEX_CMD_MASK)) == FUTEX_WAIT;
  return true;
}

// All of the time, as the call was told.
std::optional<std::int64_t> whole_time(const wire::TimedWait& wait, const Arguments& arguments,
                                       const ProcessMemory& memory) {
  const std::uint64_t time = arguments[wait.argument];
  if (!wait.milliseconds) return time == 0 ? std::nullopt : time_at(memory, time);
  const auto milliseconds = static_cast<std::int32_t>(time);
  if (milliseconds < 0) return std::nullopt;
  return milliseconds * kMillisecond;
}

// Where nanosleep(2) and clock_nanosleep(2) have written what was left when they were interrupted, 0 for nowhere.
std::uint64_t address_of_rest(long call, const Arguments& arguments) {
  if (call == SYS_nanosleep) return arguments[1];
  return call == SYS_clock_nanosleep ? arguments[3] : 0;
}

}  // namespace

void Waits::look(const std::vector<pid_t>& processes) {
  seen_.clear();
  ProcessorClocks clocks;
  for (const pid_t pid : processes) {
    const auto threads = procfs::list_threads(pid);
    if (!threads.ok()) continue;
    for (const pid_t tid : threads.value()) {
      const std::string task = "task/" + std::to_string(tid) + "/";
      const auto call = procfs::read_text(pid, task + "syscall");
      if (!call.ok()) continue;
      Seen seen;
      Arguments& a = seen.arguments;
      if (std::sscanf(call.value().c_str(),
                      "%ld %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
                      " %" SCNx64,
                      &seen.call, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5], &seen.stack, &seen.at) != 9) {
        continue;  // "running", or in no call
      }
      if (seen.call != SYS_restart_syscall && wire::timed_wait(static_cast<std::uint64_t>(seen.call)) == nullptr)
        continue;
      const auto stat = procfs::read_text(pid, task + "stat");
      const auto sched = procfs::read_text(pid, task + "sched");  // CONFIG_SCHED_DEBUG
      if (!stat.ok() || !sched.ok()) continue;
      const auto fields = procfs::parse_stat(stat.value());
      const auto ran = last_run_ns(sched.value()), sleeps = sleeps_of(sched.value());
      if (!fields.ok() || !ran.has_value() || !sleeps.has_value()) continue;
      const auto offset = clocks.offset(fields.value().field[kProcessorField]);
      if (!offset.has_value()) continue;
      seen.sleeps = static_cast<std::uint64_t>(*sleeps);
      seen.began_ns = *ran + *offset;
      seen_[tid] = seen;
    }
  }
}

std::uint64_t Waits::left_of(pid_t pid, const SettledThread& thread, const ProcessMemory& memory) const {
  const user_regs_struct& registers = thread.registers;
  const bool put_back = thread.tracee->put_back;
  const long call = put_back ? static_cast<long>(registers.rax) : thread.call;
  if (!put_back && thread.interruption != Interruption::Restart && thread.interruption != Interruption::RestartBlock)
    return 0;
  const wire::TimedWait* wait = call < 0 ? nullptr : wire::timed_wait(static_cast<std::uint64_t>(call));
  const Arguments arguments = arguments_of(registers);
  if (wait == nullptr || !is_relative(call, arguments)) return 0;
  const auto whole = whole_time(*wait, arguments, memory);
  if (!whole.has_value()) return 0;
  const std::uint64_t rest = address_of_rest(call, arguments);
  if (rest != 0 && thread.interruption == Interruption::RestartBlock) {
    const auto left = time_at(memory, rest);
    if (left.has_value())
      return static_cast<std::uint64_t>(std::clamp<std::int64_t>(*left, 1, std::max<std::int64_t>(*whole, 1)));
  }
  const auto found = seen_.find(thread.tracee->tid);
  if (found == seen_.end()) return 0;
  const Seen& seen = found->second;
  const std::uint64_t at = registers.rip + (put_back ? kSyscallBytes : 0);
  if ((seen.call != call && seen.call != SYS_restart_syscall) || seen.arguments != arguments ||
      seen.stack != registers.rsp || seen.at != at) {
    return 0;
  }
  const auto sched = procfs::read_text(pid, "task/" + std::to_string(thread.tracee->tid) + "/sched");
  if (!sched.ok()) return 0;
  // The stop is one more.
  const auto sleeps = sleeps_of(sched.value());
  if (!sleeps.has_value() || static_cast<std::uint64_t>(*sleeps) != seen.sleeps + 1) return 0;
  const std::int64_t waited = now_ns() - seen.began_ns;
  if (waited <= 0) return 0;
  const std::int64_t left = *whole - waited;
  // It may have come back in time and made the same call again, and have been stopped before it slept: nothing tells that from a wait that
  // is about to end. Of two errors, a short wait that lasts twice its time is the lesser one; a long one that does is not.
  if (left < kAboutToEnd && *whole <= kShortWait) return 0;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(left, 1));
}

}  // namespace stasis::tracer
