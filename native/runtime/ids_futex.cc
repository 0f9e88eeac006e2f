// Robust mutexes (get_robust_list(2)). Their words hold the owner's id, a virtual one, so the kernel does not find its
// threads in them when they end, and others do the marking that it would have done (kernel/futex/core.c,
// handle_futex_death):
//   - exit_group walks the list of the thread that calls it. Those of the other threads it leaves alone: they still run,
//     and a mutex must not be given away while its owner is inside;
//   - an owner that ended otherwise - by a signal, or a thread alone - is found out by those who wait: they look whether
//     it is still there before they wait, and again after each slice of the wait. Threads cannot be held up at their
//     exit, since musl's detached ones have no stack any more by then.
// The waits that are for robust mutexes are told by their expected value, which has FUTEX_WAITERS (filter_program.cc). What only
// tries, and never waits, finds the mutex held; so it is with a mutex held over an exec, until the process ends.
#include "runtime/ids_futex.h"

#include <linux/fcntl.h>
#include <linux/futex.h>
#include <linux/time.h>

#include "runtime/ids.h"
#include "runtime/ids_complete.h"
#include "runtime/ids_table.h"
#include "runtime/own_filters.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

constexpr i64 kSliceNs = 100'000'000;
constexpr u64 kPriorityBit = 1;   // of a list entry's address
constexpr u32 kListLimit = 2048;  // ROBUST_LIST_LIMIT

struct RobustListHead {
  u64 first;
  i64 futex_offset;
  u64 pending;
};

// Address of the calling thread's list head, 0 for none.
u64 read_list_head(RobustListHead* head) {
  u64 address = 0, bytes = 0;
  if (raw_syscall(__NR_get_robust_list, 0, &address, &bytes) < 0 || bytes != sizeof *head) return 0;
  return address != 0 && read_program(head, address, sizeof *head) == 0 ? address : 0;
}

// A leader that has ended stays visible while its process has other threads, or until it is waited for.
bool is_zombie(u32 system_tid) {
  if (!may_call(kOwnFiles)) return false;
  char text[128];  // the name has 64 bytes at most
  write_text(write_decimal(write_text(text, "/proc/"), system_tid), "/stat");
  const i64 fd = raw_syscall(__NR_openat, AT_FDCWD, text, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return false;
  const i64 bytes = raw_syscall(__NR_read, fd, text, sizeof text);
  raw_syscall(__NR_close, fd);
  for (i64 i = bytes - 3; i > 0; i--) {
    if (text[i] == ')') return text[i + 2] == 'Z' || text[i + 2] == 'X';
  }
  return false;
}

// What the kernel does for each mutex of a thread that ends.
void mark_owner_died(u64 address, u32 virtual_tid, bool pending, bool priority) {
  if ((address & 3) != 0 || !is_futex_writable(address)) return;
  u32 word = load_futex(address);
  // Set free, but the thread ended before it could wake somebody.
  if (pending && !priority && word == 0) return wake_futex(address, 1, 0);
  do {
    if ((word & FUTEX_TID_MASK) != virtual_tid) return;
  } while (!exchange_futex(address, &word, (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED));
  if ((word & FUTEX_WAITERS) == 0) return;
  wake_futex(address, 1, 0);
  if (priority) wake_futex(address, 1, FUTEX_PRIVATE_FLAG);
}

void walk_robust_list(u32 virtual_tid) {
  RobustListHead head;
  const u64 head_address = read_list_head(&head);
  if (head_address == 0) return;
  const auto word_of = [&](u64 node) { return (node & ~kPriorityBit) + static_cast<u64>(head.futex_offset); };
  u64 node = head.first;
  for (u32 i = 0; i < kListLimit && (node & ~kPriorityBit) != head_address; i++) {
    u64 next;
    const bool goes_on = read_program(&next, node & ~kPriorityBit, sizeof next) == 0;
    if (((node ^ head.pending) & ~kPriorityBit) != 0) {
      mark_owner_died(word_of(node), virtual_tid, false, (node & kPriorityBit) != 0);
    }
    if (!goes_on) break;
    node = next;
  }
  if ((head.pending & ~kPriorityBit) != 0) {
    mark_owner_died(word_of(head.pending), virtual_tid, true, (head.pending & kPriorityBit) != 0);
  }
}

bool is_watched(u64 operation, u64 expected) {
  const u64 command = operation & static_cast<u64>(FUTEX_CMD_MASK);
  return (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) && (operation & FUTEX_PRIVATE_FLAG) == 0 &&
         (expected & FUTEX_WAITERS) != 0;
}

// False if the time is one that the kernel refuses.
bool set_deadline(FutexDeadline* deadline, u64 operation, const Timespec& time) {
  if (time.seconds < 0 || time.nanoseconds < 0 || time.nanoseconds >= kNanosecondsPerSecond) return false;
  deadline->timed = true;
  if ((operation & static_cast<u64>(FUTEX_CMD_MASK)) == FUTEX_WAIT) {  // relative
    Timespec now{};
    raw_syscall(__NR_clock_gettime, CLOCK_MONOTONIC, &now);
    deadline->until = add_to_time(now, time.nanoseconds);
    if (__builtin_add_overflow(deadline->until.seconds, time.seconds, &deadline->until.seconds))
      deadline->timed = false;
    return true;
  }
  deadline->realtime = (operation & FUTEX_CLOCK_REALTIME) != 0;
  deadline->until = deadline->realtime ? time : host_time(CLOCK_MONOTONIC, time);
  return true;
}

// If the word is as expected and its owner has ended, marks it, so that whoever looks at it finds out.
bool is_left_by_dead_owner(u64 address, u32 expected) {
  u32 word;
  if (read_program(&word, address, sizeof word) < 0 || word != expected) return false;
  if (futex_owner(expected & FUTEX_TID_MASK) != FutexOwner::Ended || !is_futex_writable(address)) return false;
  exchange_futex(address, &word, FUTEX_WAITERS | FUTEX_OWNER_DIED);
  return true;
}

i64 watched_wait(Trap& trap) {
  const u64 address = trap.arguments[0], operation = trap.arguments[1];
  const auto expected = static_cast<u32>(trap.arguments[2]);
  FutexDeadline deadline{};
  if (trap.arguments[3] != 0) {
    Timespec time;
    if (read_program(&time, trap.arguments[3], sizeof time) < 0) return -EFAULT;
    if (!set_deadline(&deadline, operation, time)) return -EINVAL;
  }
  const u32 bitset = (operation & static_cast<u64>(FUTEX_CMD_MASK)) == FUTEX_WAIT ? FUTEX_BITSET_MATCH_ANY
                                                                                  : static_cast<u32>(trap.arguments[5]);
  for (;;) {
    if (is_left_by_dead_owner(address, expected)) return -EAGAIN;
    const i64 result = wait_slice(trap, address, expected, 0, bitset, deadline);
    // At the deadline the owner is looked at once more: its end may be what was waited for.
    if (result == -ETIMEDOUT && is_left_by_dead_owner(address, expected)) return -EAGAIN;
    if (result != kSliceOver) return result;
  }
}

}  // namespace

FutexOwner futex_owner(u32 virtual_tid) {
  if (virtual_tid >= wire::kPidLimit) return FutexOwner::Unknown;
  if (forward_word(id_table(), virtual_tid).state == wire::IdState::Free) return FutexOwner::Unknown;
  const i64 system_tid = verified_system_of(static_cast<i32>(virtual_tid));
  if (system_tid <= 0 || raw_syscall(__NR_tkill, system_tid, 0) == -ESRCH) return FutexOwner::Ended;
  return is_zombie(static_cast<u32>(system_tid)) ? FutexOwner::Ended : FutexOwner::Alive;
}

bool is_futex_writable(u64 address) {
  // Adds nothing to the word and compares it with a value that no such word has: nobody is woken (futex(2)).
  constexpr u64 kAddNothing = FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0xfff);
  u32 own = 0;
  return raw_syscall(__NR_futex, &own, FUTEX_WAKE_OP, 1, 1, address, kAddNothing) >= 0;
}

u32 load_futex(u64 address) { return __atomic_load_n(reinterpret_cast<u32*>(address), __ATOMIC_SEQ_CST); }

bool exchange_futex(u64 address, u32* expected, u32 value) {
  return __atomic_compare_exchange_n(reinterpret_cast<u32*>(address), expected, value, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST);
}

void wake_futex(u64 address, u32 count, u32 private_flag) {
  raw_syscall(__NR_futex, address, FUTEX_WAKE | private_flag, count, nullptr, nullptr, 0);
}

bool is_pending_robust(u64 address) {
  RobustListHead head;
  if (read_list_head(&head) == 0 || head.pending == 0) return false;
  return (head.pending & ~kPriorityBit) + static_cast<u64>(head.futex_offset) == address;
}

i64 wait_slice(Trap& trap, u64 address, u32 expected, u32 private_flag, u32 bitset, const FutexDeadline& deadline) {
  Timespec end{};
  raw_syscall(__NR_clock_gettime, deadline.realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC, &end);
  end = add_to_time(end, kSliceNs);
  const Timespec& until = deadline.until;
  const bool last = deadline.timed && (until.seconds < end.seconds ||
                                       (until.seconds == end.seconds && until.nanoseconds <= end.nanoseconds));
  if (last) end = until;
  const u64 operation =
      static_cast<u64>(FUTEX_WAIT_BITSET) | private_flag | (deadline.realtime ? FUTEX_CLOCK_REALTIME : 0);
  const u64 arguments[6] = {address, operation, expected, reinterpret_cast<u64>(&end), 0, bitset};
  const i64 result = stasis_blocking_call(trap.context, __NR_futex, arguments);
  return result == -ETIMEDOUT && !last ? kSliceOver : result;
}

i64 complete_futex(const arch::KernelUcontext& program, i64 result) {
  const u64 operation = program.context.rsi;
  if (is_priority_operation(operation)) return complete_priority_futex(operation, result);
  if (!is_watched(operation, program.context.rdx)) return result;
  const bool timed = program.context.r10 != 0;
  const bool absolute = (operation & static_cast<u64>(FUTEX_CMD_MASK)) == FUTEX_WAIT_BITSET;
  if (result == -EINTR && !timed) return kStartAgainIfAsked;
  // Perhaps only a slice's.
  if (result == -ETIMEDOUT) return !timed || absolute ? kStartAgain : -EINTR;
  return result;
}

i64 trapped_futex(Trap& trap) {
  if (is_priority_operation(trap.arguments[1])) return trapped_priority_futex(trap);
  if (is_watched(trap.arguments[1], trap.arguments[2])) return watched_wait(trap);
  return dispatch_base(trap);
}

i64 trapped_exit(Trap& trap) {
  if (may_call(kOwnThreadId) && may_call(kOwnRobustList)) {
    walk_robust_list(virtual_of(static_cast<u32>(raw_syscall(__NR_gettid))));
  }
  return raw_syscall(static_cast<i64>(trap.number), trap.arguments[0]);
}

}  // namespace stasis::runtime
