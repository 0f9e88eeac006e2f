// POSIX timers of a restored process. They are made before the gate, each with the id that it had where the kernel lets one
// choose (6.15, PR_TIMER_CREATE_RESTORE_IDS), else under that id by the table; and armed when nothing can fail any more.
//
// An expiration that the program has not taken yet is made to happen again: the timer is set as if it had begun so long ago
// that one signal and the recorded overruns are due, and what is left of the current period comes after them.
#include <linux/time.h>

#include "runtime/ids.h"
#include "runtime/ids_kinds.h"
#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::Step;
using wire::TimerEntry;

constexpr u32 kNotifyNone = 1, kNotifyThread = 4;  // SIGEV_NONE, SIGEV_THREAD_ID
constexpr u32 kTimerCreateRestoreIds = 77;         // PR_TIMER_CREATE_RESTORE_IDS
constexpr u64 kAbsolute = 1;                       // TIMER_ABSTIME
constexpr i64 kSecond = 1'000'000'000;
constexpr i32 kThreadCpuSelf = -2;  // CLOCK_THREAD_CPUTIME_ID as the kernel keeps it: the thread that made the timer

struct SignalEvent {  // struct sigevent
  u64 value;
  i32 signal, notify, thread;
  u32 padding[11];
};
static_assert(sizeof(SignalEvent) == 64);

i64 choose_ids(u64 on) { return raw_syscall(__NR_prctl, kTimerCreateRestoreIds, on, 0, 0, 0); }

i32 system_clock_of(const TimerEntry& entry) {
  i32 clock = entry.clock;
  // The kernel does not tell whose time it is. The thread that gets the signal is the likeliest.
  if (clock == kThreadCpuSelf && entry.notify == kNotifyThread) {
    clock = static_cast<i32>(~static_cast<u32>(entry.thread) << 3 | 6);
  }
  i32 translated = clock;
  if (translate_clock(clock, &translated) < 0)
    report_fail(Step::CreateTimer, ESRCH, static_cast<u64>(entry.id), 0, nullptr);
  return translated;
}

void create(const TimerEntry& entry, bool ids_chosen) {
  SignalEvent event{};
  event.value = entry.value;
  event.signal = static_cast<i32>(entry.signal);
  event.notify = static_cast<i32>(entry.notify);
  if (entry.notify == kNotifyThread) event.thread = static_cast<i32>(system_of(entry.thread));
  i32 id = entry.id;
  const i32 clock = system_clock_of(entry);
  i64 result = ids_chosen ? raw_syscall(__NR_timer_create, clock, &event, &id) : -EBUSY;
  if (result == -EBUSY) {  // or the number cannot be had
    choose_ids(0);
    result = raw_syscall(__NR_timer_create, clock, &event, &id);
    if (ids_chosen) choose_ids(1);
  }
  must(result, Step::CreateTimer, static_cast<u64>(entry.id));
  if (!place_object(wire::IdKind::Timer, entry.id, id)) {
    report_fail(Step::PlaceId, ENOSPC, static_cast<u64>(entry.id), 0, nullptr);
  }
}

struct Setting {  // struct itimerspec
  i64 interval[2], value[2];
};

void arm(const TimerEntry& entry) {
  const i64 id = system_object(wire::IdKind::Timer, entry.id);
  if (id < 0 || (entry.remaining_ns == 0 && !entry.waits)) return;
  i64 value = entry.remaining_ns;
  u64 flags = 0;
  if (entry.waits && (entry.interval_ns == 0 || entry.clock < 0)) {
    value = 1;
  } else if (entry.waits) {
    value = host_clock_ns(entry.clock) + entry.remaining_ns - static_cast<i64>(entry.overruns + 1) * entry.interval_ns;
    if (value < 1) value = 1;
    flags = kAbsolute;
  }
  const Setting setting = {{entry.interval_ns / kSecond, entry.interval_ns % kSecond},
                           {value / kSecond, value % kSecond}};
  raw_syscall(__NR_timer_settime, id, flags, &setting, nullptr);
}

}  // namespace

void create_timers() {
  if (plan().timers.count == 0) return;
  const bool ids_chosen = !is_error(choose_ids(1));
  const auto* entries = plan_entries<TimerEntry>(plan().timers);
  for (u64 i = 0; i < plan().timers.count; i++) create(entries[i], ids_chosen);
  if (ids_chosen) choose_ids(0);
}

void arm_timers() {
  const auto* entries = plan_entries<TimerEntry>(plan().timers);
  for (u64 i = 0; i < plan().timers.count; i++) arm(entries[i]);
}

}  // namespace stasis::runtime
