// Mutexes with priority inheritance. The kernel would look for the owner by the id in the word, which is a virtual one;
// so the operations of futex(2) on such words are done here, by plain waits on the word:
//   - the word holds what the kernel would put there: owner, FUTEX_WAITERS, FUTEX_OWNER_DIED;
//   - an unlock sets it free and wakes one, who takes it unless somebody else is faster;
//   - who waits looks at the word again after every 100 ms at least, so a lost wake or an owner's death costs no more.
// What is lost is the inheritance: the owner runs with its own priority.
#include <linux/futex.h>
#include <linux/time.h>

#include "runtime/ids.h"
#include "runtime/ids_complete.h"
#include "runtime/ids_futex.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

u64 command_of(u64 operation) { return operation & static_cast<u64>(FUTEX_CMD_MASK); }

// The kernel's answers for a word that it cannot work on.
i64 check_word(u64 address) {
  if ((address & 3) != 0) return -EINVAL;
  return is_futex_writable(address) ? 0 : -EFAULT;
}

// True if no thread will ever set the word free.
bool is_abandoned(u32 owner) {
  const FutexOwner known = futex_owner(owner);
  if (known == FutexOwner::Unknown) return raw_syscall(__NR_tkill, owner, 0) == -ESRCH;
  return known == FutexOwner::Ended;
}

enum class Taken { Yes, No, Changed };

Taken take(u64 address, u32 word, u32 bits, u32 self) {
  return exchange_futex(address, &word, self | bits) ? Taken::Yes : Taken::Changed;
}

// One attempt. `waited` says that this thread has slept, so that others may sleep still. The result for the program in
// *result if it is not Taken::Changed; Taken::No with *result == 0 means that the owner is alive.
Taken attempt(u64 address, u32 word, bool waited, u32 self, i64* result) {
  const u32 owner = word & FUTEX_TID_MASK;
  const u32 waiters = waited ? FUTEX_WAITERS : word & FUTEX_WAITERS;
  *result = 0;
  if (owner == 0) return take(address, word, (word & FUTEX_OWNER_DIED) | waiters, self);
  *result = -EDEADLK;
  if (owner == self) return Taken::No;
  *result = 0;
  if (!is_abandoned(owner)) return Taken::No;
  // Of a robust mutex the next owner learns it from the word, of another one only those who waited already: the kernel
  // hands it over to them (kernel/futex/pi.c, exit_pi_state_list) and knows no owner for others.
  if (waited || is_pending_robust(address)) return take(address, word, FUTEX_OWNER_DIED | waiters, self);
  *result = -ESRCH;
  return Taken::No;
}

i64 lock(Trap& trap, u64 address, u32 private_flag, const FutexDeadline& deadline) {
  if (const i64 result = check_word(address); result < 0) return result;
  const u32 self = virtual_of(static_cast<u32>(raw_syscall(__NR_gettid)));
  for (bool waited = false;;) {
    u32 word = load_futex(address);
    i64 result;
    const Taken taken = attempt(address, word, waited, self, &result);
    if (taken == Taken::Yes) return 0;
    if (taken == Taken::Changed) continue;
    if (result < 0) return result;
    if ((word & FUTEX_WAITERS) == 0) {
      if (!exchange_futex(address, &word, word | FUTEX_WAITERS)) continue;
      word |= FUTEX_WAITERS;
    }
    result = wait_slice(trap, address, word, private_flag, FUTEX_BITSET_MATCH_ANY, deadline);
    if (result < 0 && result != -EAGAIN && result != -EINTR) return result;
    waited = true;
  }
}

i64 try_lock(u64 address) {
  if (const i64 result = check_word(address); result < 0) return result;
  const u32 self = virtual_of(static_cast<u32>(raw_syscall(__NR_gettid)));
  for (;;) {
    i64 result;
    const Taken taken = attempt(address, load_futex(address), false, self, &result);
    if (taken == Taken::Yes) return 0;
    if (taken == Taken::No) return result < 0 ? result : -EAGAIN;
  }
}

i64 unlock(u64 address, u32 private_flag) {
  if (const i64 result = check_word(address); result < 0) return result;
  const u32 self = virtual_of(static_cast<u32>(raw_syscall(__NR_gettid)));
  u32 word = load_futex(address);
  do {
    if ((word & FUTEX_TID_MASK) != self) return -EPERM;
  } while (!exchange_futex(address, &word, 0));
  wake_futex(address, 1, private_flag);
  return 0;
}

// LOCK_PI measures by the realtime clock, the others by the one that the operation names.
i64 read_deadline(u64 operation, u64 time_address, FutexDeadline* deadline) {
  *deadline = {};
  deadline->realtime = command_of(operation) == FUTEX_LOCK_PI || (operation & FUTEX_CLOCK_REALTIME) != 0;
  if (time_address == 0) return 0;
  Timespec time;
  if (read_program(&time, time_address, sizeof time) < 0) return -EFAULT;
  if (time.seconds < 0 || time.nanoseconds < 0 || time.nanoseconds >= kNanosecondsPerSecond) return -EINVAL;
  deadline->timed = true;
  deadline->until = deadline->realtime ? time : host_time(CLOCK_MONOTONIC, time);
  return 0;
}

// A condition variable's wait: sleeps on one word and comes back with the mutex of the other one taken.
i64 wait_and_lock(Trap& trap, u32 private_flag, const FutexDeadline& deadline) {
  const u64 clock = deadline.realtime ? FUTEX_CLOCK_REALTIME : 0;
  Timespec until = deadline.until;
  const u64 arguments[6] = {trap.arguments[0],
                            static_cast<u64>(FUTEX_WAIT_BITSET) | private_flag | clock,
                            trap.arguments[2],
                            deadline.timed ? reinterpret_cast<u64>(&until) : 0,
                            0,
                            FUTEX_BITSET_MATCH_ANY};
  const i64 result = stasis_blocking_call(trap.context, __NR_futex, arguments);
  if (result < 0) return result;
  return lock(trap, trap.arguments[4], private_flag, deadline);
}

// Those who would be moved to the mutex are woken instead, and take it one after the other.
i64 wake_or_requeue(const Trap& trap, u32 private_flag) {
  u32 word;
  if (static_cast<i32>(trap.arguments[2]) != 1) return -EINVAL;  // as the kernel: the mutex has one owner
  if (read_program(&word, trap.arguments[0], sizeof word) < 0) return -EFAULT;
  if (word != static_cast<u32>(trap.arguments[5])) return -EAGAIN;
  const u64 count = 1 + static_cast<u64>(static_cast<u32>(trap.arguments[3]));
  return raw_syscall(__NR_futex, trap.arguments[0], FUTEX_WAKE | private_flag, count < 0x7fffffff ? count : 0x7fffffff,
                     nullptr, nullptr, 0);
}

}  // namespace

bool is_priority_operation(u64 operation) {
  switch (command_of(operation)) {
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_UNLOCK_PI:
    case FUTEX_TRYLOCK_PI:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_CMP_REQUEUE_PI:
      return true;
    default:
      return false;
  }
}

i64 trapped_priority_futex(Trap& trap) {
  const u64 address = trap.arguments[0], operation = trap.arguments[1];
  const u32 private_flag = static_cast<u32>(operation) & FUTEX_PRIVATE_FLAG;
  FutexDeadline deadline;
  switch (command_of(operation)) {
    case FUTEX_TRYLOCK_PI:
      return try_lock(address);
    case FUTEX_UNLOCK_PI:
      return unlock(address, private_flag);
    case FUTEX_CMP_REQUEUE_PI:
      return wake_or_requeue(trap, private_flag);
    default:
      break;
  }
  if (const i64 result = read_deadline(operation, trap.arguments[3], &deadline); result < 0) return result;
  if (command_of(operation) == FUTEX_WAIT_REQUEUE_PI) return wait_and_lock(trap, private_flag, deadline);
  return lock(trap, address, private_flag, deadline);
}

// A lock that a signal interrupts goes on afterwards (ERESTARTNOINTR in the kernel); a wait on a condition variable
// ends, as if woken for nothing.
i64 complete_priority_futex(u64 operation, i64 result) {
  const bool inner = result == 0 || result == -EAGAIN || result == -EINTR || result == -ETIMEDOUT;
  if (!inner) return result;
  return command_of(operation) == FUTEX_WAIT_REQUEUE_PI ? -EAGAIN : kStartAgain;
}

}  // namespace stasis::runtime
