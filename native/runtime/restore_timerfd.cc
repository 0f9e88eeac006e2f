// Timers behind an fd, armed with what remained of them, and with the expirations that the program has not read yet.
#include <linux/fcntl.h>

#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::Step;

constexpr u32 kAbsolute = 1;            // TFD_TIMER_ABSTIME
constexpr u64 kSetTicks = 0x4008'5400;  // TFD_IOC_SET_TICKS, 3.17, CONFIG_CHECKPOINT_RESTORE
constexpr i64 kSecond = 1'000'000'000;

i64 nanoseconds(const i64* time) { return time[0] * kSecond + time[1]; }

void set_time(i64 fd, u32 flags, i64 interval_ns, i64 value_ns, const FdEntry& entry) {
  const i64 timer[4] = {interval_ns / kSecond, interval_ns % kSecond, value_ns / kSecond, value_ns % kSecond};
  must(raw_syscall(__NR_timerfd_settime, fd, flags, timer, nullptr), Step::SetTimerfd, entry.image_fd);
}

// Without the ioctl the timer is set so that it has just expired as often: once, and is then at rest; or with its first
// expiration so far in the past that the period brings the count (fs/timerfd.c counts periods at the read).
void expire(i64 fd, const FdEntry& entry) {
  const i64 interval = nanoseconds(entry.timer), value = nanoseconds(entry.timer + 2);
  if (interval == 0) return set_time(fd, 0, 0, 1, entry);
  const i64 now = host_clock_ns(static_cast<i32>(entry.value));
  const i64 next = (entry.option & kAbsolute) != 0 ? value : now + value;
  i64 first = next - static_cast<i64>(entry.ticks) * interval;
  if (first < 1) first = 1;
  set_time(fd, kAbsolute, interval, first, entry);
}

}  // namespace

void create_timerfd(const FdEntry& entry) {
  const u32 mode = O_CLOEXEC | (entry.flags & O_NONBLOCK);
  const i64 fd = must(raw_syscall(__NR_timerfd_create, entry.value, mode), Step::CreateTimerfd, entry.image_fd);
  const i64 interval = nanoseconds(entry.timer), value = nanoseconds(entry.timer + 2);
  if (value != 0) set_time(fd, entry.option, interval, value, entry);
  if (entry.ticks != 0 && is_error(raw_syscall(__NR_ioctl, fd, kSetTicks, &entry.ticks))) expire(fd, entry);
  park(fd, entry.slot, entry);
}

}  // namespace stasis::runtime
