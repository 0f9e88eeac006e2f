// The calls that end in the SIGSYS handler or are refused, each with its reason: the data that filter_program.cc makes a
// program of. What the ids part does with its calls is in docs/interposition.md, whose table
// test/unit/call-table.test.ts holds equal to this one.
// A call that several parts want has an entry for each.
#pragma once

#include <asm/unistd.h>
#include <linux/sched.h>

#include "wire/parts.h"
#include "wire/types.h"

namespace stasis::runtime::filter {

using wire::kPartBase, wire::kPartIds, wire::kPartNet, wire::kPartRestored;

// When a call is trapped. A call with several entries is trapped if one of them says so.
enum class Test : u8 {
  Always,
  Refuse,          // answer ENOSYS
  Nonzero,         // the 64-bit argument is not zero
  Nonzero32,       // the low half of the argument is not zero
  Negative,        // the low half of the argument is negative
  Not,             // the low half of the argument is not value
  BitSet,          // argument & value
  BitClear,        // !(argument & value)
  MaskSet,         // rt_sigprocmask with a set that could block
  FutexTime,       // futex operation with an absolute time of the monotonic clock
  FutexIds,        // futex operation on a word that holds a thread's id
  OneOf,           // argument is one of `values`
  FarHint,         // mmap of a small reservation at a place that is asked for, not demanded
  ParkedFd,        // the low half of the argument is the parked descriptor
  CoversParkedFd,  // close_range: arguments 0 and 1 are the ends of a range with the parked descriptor
};

inline constexpr u32 kMaxValues = 8;

struct Entry {
  u32 number;
  u32 part;
  Test test;
  u8 argument = 0;
  u32 value = 0;
  i32 values[kMaxValues] = {};  // ends with -1
  u32 last = 0;                 // with Always: the entry stands for number..last
};

// Reservations as garbage collectors make them for one piece of their heap; larger ones are whole heaps and code areas,
// whose place matters.
inline constexpr u32 kMaxHintedBytes = 1 << 20;

// Sorted by number.
inline constexpr Entry kEntries[] = {
    {__NR_open, kPartIds, Test::Always},
    {__NR_close, kPartIds, Test::ParkedFd, 0},
    {__NR_stat, kPartIds, Test::Always},
    {__NR_fstat, kPartIds, Test::ParkedFd, 0},
    {__NR_lstat, kPartIds, Test::Always},
    // Places at random would cost a restore one call each (reservation.cc).
    {__NR_mmap, kPartBase, Test::FarHint},
    // Replaces handlers by thunks and keeps SIGSYS from being replaced.
    {__NR_rt_sigaction, kPartBase, Test::Always},
    // Could block SIGSYS; with no set, or to unblock, it cannot.
    {__NR_rt_sigprocmask, kPartBase, Test::MaskSet},
    // The program's view of SIGSYS in its masks (sigsys_mask.h).
    {__NR_rt_sigprocmask, kPartIds, Test::Always},
    // The frame's mask may have been edited to block SIGSYS.
    {__NR_rt_sigreturn, kPartBase, Test::Always},
    // Terminals' groups and sessions, sockets' owners: FIOSETOWN, SIOCSPGRP, FIOGETOWN, SIOCGPGRP.
    {__NR_ioctl, kPartIds, Test::OneOf, 1, 0, {0x540f, 0x5410, 0x5429, 0x8901, 0x8902, 0x8903, 0x8904, -1}},
    {__NR_access, kPartIds, Test::Always},
    // Growth and moves of image pages (memory.cc).
    {__NR_mremap, kPartRestored, Test::Always},
    // Advice that drops pages or that a file mapping refuses: DONTNEED 4, FREE 8, REMOVE 9, WIPEONFORK 18,
    // DONTNEED_LOCKED 24, GUARD_INSTALL 102 (memory.cc, needs_care).
    {__NR_madvise, kPartRestored, Test::OneOf, 2, 0, {4, 8, 9, 18, 24, 102, -1}},
    // What a checkpoint must know of SysV ipc (ipc_notes.h).
    {__NR_shmget, kPartBase, Test::Always},
    {.number = __NR_shmat, .part = kPartIds, .test = Test::Always, .last = __NR_shmctl},
    {__NR_dup, kPartIds, Test::ParkedFd, 0},
    {__NR_dup2, kPartIds, Test::ParkedFd, 1},
    {__NR_getpid, kPartIds, Test::Always},
    // Addresses of an environment, where a call gives or asks for one.
    {__NR_connect, kPartNet, Test::Always},
    {__NR_accept, kPartNet, Test::Nonzero, 1},
    {__NR_sendto, kPartNet, Test::Nonzero, 4},
    {__NR_recvfrom, kPartNet, Test::Nonzero, 4},
    {.number = __NR_sendmsg, .part = kPartIds, .test = Test::Always, .last = __NR_recvmsg},
    {.number = __NR_bind, .part = kPartNet, .test = Test::Always, .last = __NR_getpeername},  // listen, getsockname
    {__NR_getsockopt, kPartIds, Test::OneOf, 2, 0, {17 /* SO_PEERCRED */, -1}},
    {__NR_getsockopt, kPartNet, Test::OneOf, 2, 0, {26 /* IPV6_V6ONLY */, -1}},
    // The child of a fork starts with marks of its own (state.h). Threads and vfork pass.
    {__NR_clone, kPartBase, Test::BitClear, 0, CLONE_VM},
    {__NR_clone, kPartIds, Test::Always},
    {__NR_fork, kPartBase, Test::Always},
    {__NR_vfork, kPartIds, Test::Always},
    // The new program gets the runtime first.
    {__NR_execve, kPartBase, Test::Always},
    // Not exit: musl's detached threads make that call when they have unmapped their stack, where no frame can be put.
    {.number = __NR_wait4, .part = kPartIds, .test = Test::Always, .last = __NR_kill},
    {.number = __NR_semget, .part = kPartBase, .test = Test::Always, .last = __NR_semop},
    {__NR_semctl, kPartIds, Test::Always},
    {__NR_msgget, kPartBase, Test::Always},
    {.number = __NR_msgsnd, .part = kPartIds, .test = Test::Always, .last = __NR_msgctl},
    // F_GETLK, F_SETOWN, F_GETOWN, F_SETOWN_EX, F_GETOWN_EX, F_OFD_GETLK
    {__NR_fcntl, kPartIds, Test::OneOf, 1, 0, {5, 8, 9, 15, 16, 36, -1}},
    {__NR_fcntl, kPartIds, Test::ParkedFd, 0},
    {.number = __NR_getdents, .part = kPartIds, .test = Test::Always, .last = __NR_chdir},  // getdents, getcwd, chdir
    // /proc/self/exe.
    {__NR_readlink, kPartBase, Test::Always},
    // The time since the boot, which follows the clocks.
    {.number = __NR_sysinfo, .part = kPartRestored, .test = Test::Always, .last = __NR_times},
    {.number = __NR_ptrace, .part = kPartIds, .test = Test::Always},
    {.number = __NR_setpgid, .part = kPartIds, .test = Test::Always, .last = __NR_setsid},
    {__NR_getpgid, kPartIds, Test::Always},
    {.number = __NR_getsid, .part = kPartIds, .test = Test::Always, .last = __NR_capset},  // getsid, capget, capset
    {.number = __NR_rt_sigtimedwait, .part = kPartIds, .test = Test::Always, .last = __NR_rt_sigqueueinfo},
    // Masks that could block SIGSYS while a handler runs in the call.
    {__NR_rt_sigsuspend, kPartBase, Test::Always},
    {__NR_statfs, kPartIds, Test::Always},
    {.number = __NR_getpriority, .part = kPartIds, .test = Test::Always, .last = __NR_sched_getscheduler},
    {__NR_sched_rr_get_interval, kPartIds, Test::Always},
    // Filters of the program's own (own_filters.h): PR_SET_SECCOMP.
    {__NR_prctl, kPartBase, Test::OneOf, 0, 0, {22, -1}},
    {__NR_prctl, kPartIds, Test::OneOf, 0, 0, {0x59616d61 /* PR_SET_PTRACER */, 62 /* PR_SCHED_CORE */, -1}},
    {__NR_gettid, kPartIds, Test::Always},
    {.number = __NR_getxattr, .part = kPartIds, .test = Test::Always, .last = __NR_lgetxattr},
    {.number = __NR_listxattr, .part = kPartIds, .test = Test::Always, .last = __NR_llistxattr},
    {__NR_tkill, kPartIds, Test::Always},
    // Absolute times and raw readings of clocks that have an offset.
    {__NR_futex, kPartRestored, Test::FutexTime},
    {__NR_futex, kPartIds, Test::FutexIds},
    {__NR_sched_setaffinity, kPartIds, Test::Nonzero32, 0},
    {__NR_sched_getaffinity, kPartIds, Test::Nonzero32, 0},
    {__NR_getdents64, kPartIds, Test::Always},
    {__NR_set_tid_address, kPartIds, Test::Always},
    {__NR_semtimedop, kPartBase, Test::Always},
    {__NR_timer_create, kPartIds, Test::Always},
    {__NR_timer_settime, kPartRestored, Test::BitSet, 1, 1},
    {__NR_timer_settime, kPartIds, Test::Always},
    {.number = __NR_timer_gettime, .part = kPartIds, .test = Test::Always, .last = __NR_timer_delete},
    {__NR_clock_settime, kPartIds, Test::Negative, 0},
    {__NR_clock_gettime, kPartRestored, Test::OneOf, 0, 0, {1, 4, 6, 7, 9, -1}},
    {__NR_clock_gettime, kPartIds, Test::Negative, 0},
    {__NR_clock_getres, kPartIds, Test::Negative, 0},
    {__NR_clock_nanosleep, kPartRestored, Test::BitSet, 1, 1},
    {__NR_clock_nanosleep, kPartIds, Test::Negative, 0},
    {__NR_exit_group, kPartIds, Test::Always},
    {__NR_tgkill, kPartIds, Test::Always},
    {.number = __NR_waitid, .part = kPartIds, .test = Test::Always},
    // The kernel's keyrings are not saved (keys.cc).
    {.number = __NR_add_key, .part = kPartBase, .test = Test::Always, .last = __NR_keyctl},
    {.number = __NR_ioprio_set, .part = kPartIds, .test = Test::Always, .last = __NR_ioprio_get},
    // What is watched is noted for a checkpoint (watches.h).
    {__NR_inotify_add_watch, kPartBase, Test::Always},
    {__NR_inotify_add_watch, kPartIds, Test::Always},
    {.number = __NR_migrate_pages, .part = kPartIds, .test = Test::Always, .last = __NR_openat},
    // With AT_EMPTY_PATH alone, as glibc and libuv ask about descriptors, there is no path.
    {__NR_newfstatat, kPartIds, Test::Not, 3, 0x1000},
    {__NR_newfstatat, kPartIds, Test::ParkedFd, 0},
    {__NR_readlinkat, kPartBase, Test::Always},
    {__NR_faccessat, kPartIds, Test::Always},
    {__NR_pselect6, kPartBase, Test::Nonzero, 5},
    {__NR_ppoll, kPartBase, Test::Nonzero, 3},
    {__NR_get_robust_list, kPartIds, Test::Nonzero32, 0},
    {__NR_move_pages, kPartIds, Test::Nonzero32, 0},
    {__NR_utimensat, kPartIds, Test::Always},
    {__NR_epoll_pwait, kPartBase, Test::Nonzero, 4},
    {__NR_signalfd, kPartIds, Test::Always},
    {__NR_timerfd_settime, kPartRestored, Test::BitSet, 1, 1},
    {__NR_accept4, kPartNet, Test::Nonzero, 1},
    {__NR_signalfd4, kPartIds, Test::Always},
    {__NR_dup3, kPartIds, Test::ParkedFd, 1},
    {.number = __NR_rt_tgsigqueueinfo, .part = kPartIds, .test = Test::Always, .last = __NR_recvmmsg},
    {__NR_prlimit64, kPartIds, Test::Nonzero32, 0},
    {__NR_sendmmsg, kPartIds, Test::Always},
    {.number = __NR_process_vm_readv, .part = kPartIds, .test = Test::Always, .last = __NR_kcmp},
    {.number = __NR_sched_setattr, .part = kPartIds, .test = Test::Always, .last = __NR_sched_getattr},
    {__NR_seccomp, kPartBase, Test::OneOf, 0, 0, {1 /* SECCOMP_SET_MODE_FILTER */, -1}},
    {__NR_execveat, kPartBase, Test::Always},
    {__NR_statx, kPartIds, Test::Not, 2, 0x1000},  // as newfstatat
    {__NR_statx, kPartIds, Test::ParkedFd, 0},
    {__NR_io_pgetevents, kPartBase, Test::Nonzero, 5},
    {__NR_pidfd_send_signal, kPartIds, Test::Nonzero, 2},
    // Acts on the kernel behind any filter, and its rings cannot be saved.
    {__NR_io_uring_setup, kPartBase, Test::Refuse},
    {__NR_pidfd_open, kPartIds, Test::Always},
    // Flags in memory: CLONE_CLEAR_SIGHAND would take the SIGSYS handler away unseen.
    {__NR_clone3, kPartBase, Test::Refuse},
    {__NR_close_range, kPartIds, Test::CoversParkedFd},
    {__NR_openat2, kPartIds, Test::Always},
    {__NR_faccessat2, kPartIds, Test::Always},
    {__NR_process_madvise, kPartRestored, Test::OneOf, 3, 0, {4, 8, 9, 18, 24, 102, -1}},
    {__NR_epoll_pwait2, kPartBase, Test::Nonzero, 4},
    {449, kPartRestored, Test::Nonzero, 3},  // futex_waitv (5.16)
    {455, kPartRestored, Test::Nonzero, 4},  // futex_wait (6.7)
};

inline constexpr u32 kEntryCount = sizeof kEntries / sizeof kEntries[0];

constexpr u32 last_of(const Entry& entry) { return entry.last != 0 ? entry.last : entry.number; }

constexpr bool entries_are_sorted() {
  for (u32 i = 1; i < kEntryCount; i++) {
    if (kEntries[i - 1].number > kEntries[i].number) return false;
    if (kEntries[i - 1].number != kEntries[i].number && last_of(kEntries[i - 1]) >= kEntries[i].number) return false;
  }
  return true;
}
static_assert(entries_are_sorted());

}  // namespace stasis::runtime::filter
