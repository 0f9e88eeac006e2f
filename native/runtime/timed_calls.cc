// Calls that take or give a time of the monotonic or boottime clock. Trapped in restored processes and their descendants only. Relative
// times need no care, and CLOCK_REALTIME is the host's. The times are translated into a copy; the program's memory is not touched.
#include <linux/fcntl.h>
#include <linux/futex.h>
#include <linux/time.h>

#include "runtime/clock.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

constexpr u64 kAbsoluteFlag = 1;  // TIMER_ABSTIME, TFD_TIMER_ABSTIME
constexpr u64 kUnknownClock = CLOCK_REALTIME;

struct TimerSetting {  // struct __kernel_itimerspec
  Timespec interval, value;
};

// Issues the call with its argument `index`, an absolute time on `clock_id`, translated.
i64 wait_until(Trap& trap, u32 index, u64 clock_id) {
  Timespec time;
  if (trap.arguments[index] == 0) return blocking_call(trap);
  if (read_program(&time, trap.arguments[index], sizeof time) < 0) return -EFAULT;
  time = host_time(clock_id, time);
  trap.arguments[index] = reinterpret_cast<u64>(&time);
  return blocking_call(trap);
}

// WAIT_BITSET, WAIT_REQUEUE_PI and LOCK_PI2 have absolute times, of the monotonic clock unless they say otherwise.
i64 futex(Trap& trap) {
  const u64 command = trap.arguments[1] & 127, realtime = trap.arguments[1] & FUTEX_CLOCK_REALTIME;
  const bool absolute = command == FUTEX_WAIT_BITSET || command == FUTEX_WAIT_REQUEUE_PI || command == FUTEX_LOCK_PI2;
  return absolute && realtime == 0 ? wait_until(trap, 3, CLOCK_MONOTONIC) : blocking_call(trap);
}

i64 clock_nanosleep(Trap& trap) {
  if ((trap.arguments[1] & kAbsoluteFlag) == 0) return blocking_call(trap);
  return wait_until(trap, 2, static_cast<u32>(trap.arguments[0]));
}

// The number behind `key` in a file of /proc, after `anchor` has been seen (both at the start of a line). The files are small; a key
// that falls on the border of two reads is found because the tail of the last read is kept.
u64 number_in_file(const char* path, const char* anchor, const char* key) {
  const i64 fd = raw_syscall(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return kUnknownClock;
  char line[160];
  u64 held = 0;
  bool anchored = anchor == nullptr;
  u64 number = kUnknownClock;
  for (char c; raw_syscall(__NR_read, fd, &c, 1) == 1;) {
    if (c != '\n') {
      if (held + 1 < sizeof line) line[held++] = c;
      continue;
    }
    line[held] = '\0';
    held = 0;
    if (anchor != nullptr && string_equal(line, anchor)) anchored = true;
    if (!anchored || !starts_with(line, key)) continue;
    const char* digits = line + string_length(key);
    while (*digits == ' ' || *digits == '\t') digits++;
    number = read_decimal(digits);
    break;
  }
  raw_syscall(__NR_close, fd);
  return number;
}

u64 clock_of_timerfd(u64 fd) {
  char path[64];
  write_decimal(write_text(path, "/proc/self/fdinfo/"), static_cast<u32>(fd));
  return number_in_file(path, nullptr, "clockid:");
}

u64 clock_of_timer(u64 id) {  // /proc/PID/timers, kernel 3.10, CONFIG_CHECKPOINT_RESTORE
  char anchor[32];
  write_decimal(write_text(anchor, "ID: "), static_cast<u32>(id));
  return number_in_file("/proc/self/timers", anchor, "ClockID:");
}

i64 arm_timer(Trap& trap) {
  TimerSetting setting;
  const bool offset = clock_offset(CLOCK_MONOTONIC) != 0 || clock_offset(CLOCK_BOOTTIME) != 0;
  if (offset && (trap.arguments[1] & kAbsoluteFlag) != 0 && trap.arguments[2] != 0) {
    if (read_program(&setting, trap.arguments[2], sizeof setting) < 0) return -EFAULT;
    const bool timerfd = trap.number == __NR_timerfd_settime;
    const u64 clock = timerfd ? clock_of_timerfd(trap.arguments[0]) : clock_of_timer(trap.arguments[0]);
    setting.value = host_time(clock, setting.value);
    trap.arguments[2] = reinterpret_cast<u64>(&setting);
  }
  return raw_syscall(static_cast<i64>(trap.number), trap.arguments[0], trap.arguments[1], trap.arguments[2],
                     trap.arguments[3]);
}

// The kernel counts in ticks of the monotonic clock (times(2)), a hundred in a second.
i64 times(Trap& trap) {
  constexpr i64 kTick = kNanosecondsPerSecond / 100;
  const i64 ticks = issue_once(trap);
  return is_error(ticks) ? ticks : ticks + clock_offset(CLOCK_MONOTONIC) / kTick;
}

// Seconds of the boottime clock, rounded up (kernel/sys.c, do_sysinfo), at the start of what is told.
i64 sysinfo(Trap& trap) {
  const i64 result = issue_once(trap);
  if (result != 0) return result;
  Timespec now;
  raw_syscall(__NR_clock_gettime, CLOCK_BOOTTIME, &now);
  now = add_to_time(now, clock_offset(CLOCK_BOOTTIME));
  const i64 uptime = now.seconds + (now.nanoseconds != 0 ? 1 : 0);
  return write_program(trap.arguments[0], &uptime, sizeof uptime);
}

i64 clock_gettime(Trap& trap) {
  Timespec now;
  const u64 clock = static_cast<u32>(trap.arguments[0]);
  const i64 result = raw_syscall(__NR_clock_gettime, clock, &now);
  if (result < 0) return result;
  now = add_to_time(now, clock_offset(clock));
  return write_program(trap.arguments[1], &now, sizeof now);
}

}  // namespace

i64 trapped_timed_call(Trap& trap) {
  switch (trap.number) {
    case __NR_futex:
      return futex(trap);
    case 449:
      return wait_until(trap, 3, static_cast<u32>(trap.arguments[4]));  // futex_waitv, kernel 5.16
    case 455:
      return wait_until(trap, 4, static_cast<u32>(trap.arguments[5]));  // futex_wait, kernel 6.7
    case __NR_clock_nanosleep:
      return clock_nanosleep(trap);
    case __NR_timerfd_settime:
    case __NR_timer_settime:
      return arm_timer(trap);
    case __NR_clock_gettime:
      return clock_gettime(trap);
    case __NR_times:
      return times(trap);
    case __NR_sysinfo:
      return sysinfo(trap);
    default:
      return blocking_call(trap);
  }
}

}  // namespace stasis::runtime
