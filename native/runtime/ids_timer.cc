// POSIX timers, and clocks that measure a process or thread.
//
// A timer made without a sigevent tells its own id as the value of its signals; that one is the kernel's.
#include "runtime/ids.h"
#include "runtime/ids_kinds.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

using wire::IdKind;

constexpr i32 kNotifyThread = 4;  // SIGEV_THREAD_ID

struct SignalEvent {  // struct sigevent
  u64 value;
  i32 signal, notify, thread;
  u32 padding[11];
};
static_assert(sizeof(SignalEvent) == 64);

i64 create(Trap& trap) {
  i32 clock, id;
  SignalEvent event;
  if (const i64 result = translate_clock(static_cast<i32>(trap.arguments[0]), &clock); result < 0) return result;
  if (trap.arguments[1] != 0) {
    if (read_program(&event, trap.arguments[1], sizeof event) < 0) return -EFAULT;
    if (event.notify == kNotifyThread) {
      const i64 thread = system_of(event.thread);
      if (thread < 0) return -EINVAL;
      event.thread = static_cast<i32>(thread);
    }
  }
  const i64 result = raw_syscall(__NR_timer_create, clock, trap.arguments[1] != 0 ? &event : nullptr, &id);
  if (result < 0) return result;
  const i64 virtual_id = virtual_object(IdKind::Timer, id);
  i64 answer = virtual_id < 0 ? -EAGAIN : 0;  // what timer_create(2) has for want of memory
  const auto told = static_cast<i32>(virtual_id);
  if (answer == 0) answer = write_program(trap.arguments[2], &told, sizeof told);
  if (answer < 0) raw_syscall(__NR_timer_delete, id);
  return answer;
}

}  // namespace

i64 translate_clock(i32 virtual_clock, i32* system_clock) {
  constexpr i32 kKindBits = 3, kDescriptorClock = 3;  // CPUCLOCK_CLOCK_MASK, CLOCKFD (linux/posix-timers.h)
  *system_clock = virtual_clock;
  if (virtual_clock >= 0 || (virtual_clock & kKindBits) == kDescriptorClock) return 0;
  const i32 virtual_pid = ~(virtual_clock >> 3);
  if (virtual_pid == 0) return 0;  // the caller's own
  const i64 pid = system_of(virtual_pid);
  if (pid < 0) return -EINVAL;
  *system_clock = static_cast<i32>(~static_cast<u32>(pid) << 3 | static_cast<u32>(virtual_clock & 7));
  return 0;
}

i64 trapped_process_clock(Trap& trap) {
  i32 clock;
  if (const i64 result = translate_clock(static_cast<i32>(trap.arguments[0]), &clock); result < 0) return result;
  if (clock >= 0) return dispatch_base(trap);
  trap.arguments[0] = static_cast<u64>(static_cast<i64>(clock));
  return blocking_call(trap);
}

i64 trapped_posix_timer(Trap& trap) {
  if (trap.number == __NR_timer_create) return create(trap);
  const auto virtual_id = static_cast<i32>(trap.arguments[0]);
  const i64 id = system_object(IdKind::Timer, virtual_id);
  if (id < 0) return id;
  trap.arguments[0] = static_cast<u64>(id);
  if (trap.number == __NR_timer_settime) return dispatch_base(trap);  // its time may be translated there
  const i64 result = raw_syscall(static_cast<i64>(trap.number), id, trap.arguments[1]);
  if (result == 0 && trap.number == __NR_timer_delete) release_object(IdKind::Timer, virtual_id);
  return result;
}

}  // namespace stasis::runtime
