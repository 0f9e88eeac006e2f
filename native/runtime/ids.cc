// The table of this process: mapping it, the descriptor that carries it over an exec, and the translations that every
// handler uses (ids.h). The algorithms on the table itself are in ids_table.cc.
//
// The kernel gives a number again once its task is gone, so an entry may stand for a task that ended unseen. Births
// overwrite such entries; the calls that act on a process compare the start time of what is there now (is_still).
#include "runtime/ids.h"

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/resource.h>
#include <linux/time.h>

#include "runtime/clock.h"
#include "runtime/fast_call.h"
#include "runtime/ids_table.h"
#include "runtime/own_filters.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/vdso.h"

namespace stasis::runtime {

namespace {

using wire::IdKind;
using wire::IdState;

constexpr u32 kInit = 1;  // the same process for everybody

// Below the usual soft limit, so that a program's own descriptors, which count from 0, stay clear of it, and low enough
// that no fork has a large table to copy.
constexpr u64 kPreferredFd = 1023;

// How long an entry is believed: no system comes round to the same number so soon.
constexpr u32 kConfirmedStamps = static_cast<u32>(4 * kNanosecondsPerSecond >> 24);
constexpr u32 kStartField = 22;
constexpr i64 kNanosecondsPerTick = 10'000'000;  // of /proc: USER_HZ is 100

IdKind kind_of(IdFor what) { return what == IdFor::Group ? IdKind::Group : IdKind::Session; }

bool has_group(u32 system_group) {
  return !may_call(kOwnProbe) || raw_syscall(__NR_kill, -static_cast<i64>(system_group), 0) != -ESRCH;
}

bool exists(u32 system_pid) { return !may_call(kOwnProbe) || raw_syscall(__NR_kill, system_pid, 0) != -ESRCH; }

// Field 22 of /proc/PID/stat as a stamp. False if it cannot be read: the task is gone or hidden, or there is no /proc.
// Read in small pieces, since a SIGSYS frame's stack is small.
bool read_start(u32 system_pid, u32* start) {
  if (!may_call(kOwnFiles)) return false;
  give_up_fast_call();  // a descriptor would stay open
  char text[64];
  write_text(write_decimal(write_text(text, "/proc/"), system_pid), "/stat");
  const i64 fd = raw_syscall(__NR_openat, AT_FDCWD, text, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return false;
  u64 ticks = 0;
  u32 field = 1;
  for (i64 bytes = 1; bytes > 0 && field <= kStartField;) {
    bytes = raw_syscall(__NR_read, fd, text, sizeof text);
    for (i64 i = 0; i < bytes && field <= kStartField; i++) {
      if (text[i] == ')') {  // the name may hold blanks and brackets, but nothing behind it does
        field = 2;
      } else if (text[i] == ' ') {
        field++;
      } else if (field == kStartField) {
        ticks = ticks * 10 + static_cast<u64>(text[i] - '0');
      }
    }
  }
  raw_syscall(__NR_close, fd);
  *start = wire::id_stamp(static_cast<i64>(ticks) * kNanosecondsPerTick);
  return field > kStartField;
}

// Whether the entry's system number may still be its task. Looks every few seconds; what cannot be seen is believed, as
// the kernel then answers for it.
bool is_still(u32 virtual_pid, u32 system_pid) {
  const wire::ForwardWord word = forward_word(id_table(), virtual_pid);
  if (word.state != IdState::Live || word.system != system_pid) return true;  // a group without its leader
  if ((word.flags & wire::kIdForeign) != 0) return true;                      // another stranger is as good
  const u32 now = stamp_now();
  if (!wire::not_before(now, word.seen + kConfirmedStamps)) return true;
  u32 start;
  if (!read_start(system_pid, &start)) return true;
  if (start != word.seen && wire::not_before(start, word.seen)) return false;
  refresh_pid(id_table(), virtual_pid, system_pid, now);
  return true;
}

u32 bind_stranger(u32 system_pid, u32 born) {
  return bind_pid(id_table(), {system_pid, wire::kIdForeign, born, stamp_now()}, has_group);
}

bool is_free(u64 fd) { return raw_syscall(__NR_fcntl, fd, F_GETFD, 0) == -EBADF; }

// The highest free number up to `fd`, clear of stdio. 0: none.
u64 free_number(u64 fd) {
  while (fd > 2 && !is_free(fd)) fd--;
  return fd > 2 ? fd : 0;
}

}  // namespace

i64 map_ids(const Marker& marker) {
  if (marker.ids_fd < 0) return 0;
  const i64 mapped = raw_syscall(__NR_mmap, wire::kIdTableBase, wire::kIdTableBytes, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_FIXED, marker.ids_fd, 0);
  if (is_error(mapped)) return mapped;
  struct stat status;
  const i64 result = raw_syscall(__NR_fstat, marker.ids_fd, &status);
  if (result < 0) return result;
  if (static_cast<u64>(status.st_size) < wire::kIdTableBytes) return -ENOEXEC;
  if (!check_header(*id_table().header())) return -ENOEXEC;
  g_private.ids = 1;
  return 0;
}

i32 parked_fd() { return ids_on() ? static_cast<i32>(id_table().header()->parked_fd) : -1; }

i64 park_ids_at(i32 fd, u32 number) {
  struct stat status;
  i64 result = raw_syscall(__NR_fstat, fd, &status);
  if (result < 0) return result;
  if (static_cast<u32>(fd) != number) {
    result = raw_syscall(__NR_dup3, fd, number, 0);
    if (result < 0) return result;
    raw_syscall(__NR_close, fd);
  } else {
    raw_syscall(__NR_fcntl, fd, F_SETFD, 0);
  }
  wire::IdTableHeader* header = id_table().header();
  header->device = status.st_dev;
  header->inode = status.st_ino;
  header->parked_fd = number;
  return 0;
}

i64 park_ids(const Marker& marker) {
  if (!ids_on()) return 0;
  // An open descriptor may lie above the limit, where a program with a lower one has no number to lose. Raised for the
  // dup alone, as far as the hard limit allows.
  struct {
    u64 soft, hard;
  } limit, raised;
  raw_syscall(__NR_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
  raised = limit;
  if (raised.soft <= kPreferredFd) raised.soft = limit.hard < kPreferredFd + 1 ? limit.hard : kPreferredFd + 1;
  raw_syscall(__NR_prlimit64, 0, RLIMIT_NOFILE, &raised, nullptr);
  const u64 number = free_number(raised.soft > kPreferredFd ? kPreferredFd : raised.soft - 1);
  const i64 result = number != 0 ? park_ids_at(marker.ids_fd, static_cast<u32>(number)) : -EMFILE;
  raw_syscall(__NR_prlimit64, 0, RLIMIT_NOFILE, &limit, nullptr);
  if (result < 0) return result;
  const u32 now = stamp_now();
  const u32 own = static_cast<u32>(raw_syscall(__NR_getpid));
  return bind_pid(id_table(), {own, 0, now, now}, has_group) != 0 ? 0 : -EAGAIN;
}

u32 virtual_of(u32 system_pid, IdFor what) {
  if (system_pid <= kInit || system_pid >= wire::kPidLimit) return system_pid;
  const wire::IdTableView table = id_table();
  if (what != IdFor::Process) {
    if (u32 found = override_virtual(table, kind_of(what), system_pid)) return found;
  }
  if (u32 found = find_virtual(table, system_pid)) {
    if (is_still(found, system_pid)) return found;
    u32 start = 0;
    read_start(system_pid, &start);
    return bind_stranger(system_pid, start);
  }
  // Waited for already, and its number is not another's: a sender of long ago, or a group without its leader.
  if (u32 found = find_virtual(table, system_pid, IdState::Gone)) {
    if (!exists(system_pid)) return found;
  }
  // The sender of a signal that was queued in the image.
  if (forward_word(table, system_pid).state == IdState::Known && !exists(system_pid)) return system_pid;
  return bind_stranger(system_pid, kAnyAge);
}

i64 system_of(i32 virtual_pid, IdFor what) {
  if (virtual_pid == 0 || virtual_pid == static_cast<i32>(kInit)) return virtual_pid;
  if (virtual_pid < 0 || static_cast<u32>(virtual_pid) >= wire::kPidLimit) return -ESRCH;
  const wire::IdTableView table = id_table();
  const u32 number = static_cast<u32>(virtual_pid);
  if (what != IdFor::Process) {
    if (u32 found = override_system(table, kind_of(what), number)) return found;
  }
  if (u32 found = find_system(table, number)) return found;
  if (what == IdFor::Process) return -ESRCH;
  // The leader is gone. If its number has become another task's, the group has ended too: the kernel keeps a number
  // while a group bears it.
  const wire::ForwardWord word = forward_word(table, number);
  if (word.state != IdState::Gone || exists(word.system) || !has_group(word.system)) return -ESRCH;
  return word.system;
}

u32 virtual_of_own(u32 system_id) {
  if (u32 found = find_virtual(id_table(), system_id)) return found;
  return virtual_of(system_id);
}

u32 own_virtual_pid() {
  // In a child that shares this memory getpid(2) has another answer.
  const bool alone = __atomic_load_n(&g_process.borrowers, __ATOMIC_ACQUIRE) == 0;
  if (alone && g_process.virtual_pid != 0) return g_process.virtual_pid;
  const u32 virtual_pid = virtual_of_own(static_cast<u32>(raw_syscall(__NR_getpid)));
  if (alone) g_process.virtual_pid = virtual_pid;
  return virtual_pid;
}

i64 verified_system_of(i32 virtual_pid) {
  const i64 system = system_of(virtual_pid);
  if (system <= kInit || system == g_process.owner_pid ||
      is_still(static_cast<u32>(virtual_pid), static_cast<u32>(system)))
    return system;
  release_pid(id_table(), static_cast<u32>(virtual_pid), static_cast<u32>(system), stamp_now());
  return -ESRCH;
}

bool system_target(i32 virtual_target, i32* system_target) {
  i64 system = virtual_target;
  if (virtual_target > 0) {
    system = verified_system_of(virtual_target);
  } else if (virtual_target < -1) {
    const i32 group = static_cast<i32>(-static_cast<i64>(virtual_target) & 0x7fffffff);
    system = system_of(group, IdFor::Group);
    if (system > 0) system = is_still(static_cast<u32>(group), static_cast<u32>(system)) ? -system : -ESRCH;
    if (system == -ESRCH) return false;
  }
  if (system == -ESRCH) return false;
  *system_target = static_cast<i32>(system);
  return true;
}

u32 stamp_now() {
  // Not by the vdso: two pages that many a process never touches, and code that may use r15 (fast_call.h).
  Timespec time{};
  if (may_call(kOwnClock) || g_host_vdso.clock_gettime == nullptr) {
    raw_syscall(__NR_clock_gettime, CLOCK_BOOTTIME, &time);
  } else {
    give_up_fast_call();
    g_host_vdso.clock_gettime(CLOCK_BOOTTIME, &time);
  }
  return wire::id_stamp(time.seconds * kNanosecondsPerSecond + time.nanoseconds);
}

u32 bind_birth(u32 system_tid, u32 flags, u32 born) {
  return bind_pid(id_table(), {system_tid, flags, born, stamp_now()}, has_group);
}

void mark_ended(u32 system_pid) {
  const u32 virtual_pid = find_virtual(id_table(), system_pid);
  if (virtual_pid == 0) return;
  // Its number may be another's by now, unless it is the caller, who is about to end.
  if (exists(system_pid) && raw_syscall(__NR_gettid) != static_cast<i64>(system_pid)) return;
  release_pid(id_table(), virtual_pid, system_pid, stamp_now());
}

}  // namespace stasis::runtime
