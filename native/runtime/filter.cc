// The seccomp filter: which calls end in the SIGSYS handler, each with its reason.
//
// Shape. The program is a binary search over call numbers, so that a call that is not in the table is decided by its
// number alone after a few tests; the kernel finds that out when the filter is installed and never runs it for such
// calls (kernel/seccomp.c, 5.11, seccomp_cache_prepare). Arguments are tested at the leaves. The instruction pointer is
// tested last: calls from the window (runtime and host vdso) pass. Pointers are 64 bits wide and tested in both halves;
// what the kernel declares int is tested in the low half.
#include "runtime/filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#include "runtime/state.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

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

constexpr u32 kMaxValues = 8;

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
constexpr u32 kMaxHintedBytes = 1 << 20;

// Sorted by number. A call that several parts want has an entry for each. What the ids part does with its calls is in
// docs/interposition.md.
constexpr Entry kEntries[] = {
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
    // DONTNEED_LOCKED 24,
    // GUARD_INSTALL 102 (memory.cc, needs_care).
    {__NR_madvise, kPartRestored, Test::OneOf, 2, 0, {4, 8, 9, 18, 24, 102, -1}},
    {.number = __NR_shmget, .part = kPartIds, .test = Test::Always, .last = __NR_shmctl},
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
    {.number = __NR_semget, .part = kPartIds, .test = Test::Always, .last = __NR_semctl},
    {.number = __NR_msgget, .part = kPartIds, .test = Test::Always, .last = __NR_msgctl},
    // F_GETLK, F_SETOWN, F_GETOWN, F_SETOWN_EX, F_GETOWN_EX, F_OFD_GETLK
    {__NR_fcntl, kPartIds, Test::OneOf, 1, 0, {5, 8, 9, 15, 16, 36, -1}},
    {__NR_fcntl, kPartIds, Test::ParkedFd, 0},
    {.number = __NR_getdents, .part = kPartIds, .test = Test::Always, .last = __NR_chdir},  // getdents, getcwd, chdir
    // /proc/self/exe.
    {__NR_readlink, kPartBase, Test::Always},
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
    {__NR_semtimedop, kPartIds, Test::Always},
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
    {.number = __NR_ioprio_set, .part = kPartIds, .test = Test::Always, .last = __NR_ioprio_get},
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

constexpr u32 kEntryCount = sizeof kEntries / sizeof kEntries[0];

constexpr u32 last_of(const Entry& entry) { return entry.last != 0 ? entry.last : entry.number; }

constexpr bool sorted() {
  for (u32 i = 1; i < kEntryCount; i++) {
    if (kEntries[i - 1].number > kEntries[i].number) return false;
    if (kEntries[i - 1].number != kEntries[i].number && last_of(kEntries[i - 1]) >= kEntries[i].number) return false;
  }
  return true;
}
static_assert(sorted());

constexpr u32 kX32Bit = 0x40000000;
constexpr u32 kOffsetNumber = 0, kOffsetArchitecture = 4, kOffsetPointer = 8;  // struct seccomp_data
constexpr u32 low_half(u32 argument) { return 16 + 8 * argument; }
constexpr u32 high_half(u32 argument) { return 20 + 8 * argument; }

// Writes the program. Jumps to the trap block and to the end of a leaf's test, whose places are known later, are kept as
// JA with a mark and patched. A test that does not match falls through to the next one of the same call.
class Writer {
 public:
  Writer(u32 parts, i32 parked_fd) : parked_fd_(static_cast<u32>(parked_fd)) {
    for (const Entry& entry : kEntries) {
      if ((entry.part & parts) != 0) entries_[entry_count_++] = &entry;
    }
  }

  // False if the program is too long, which depends on the table alone.
  bool write() {
    load(kOffsetArchitecture);
    jump(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0);
    refuse();  // int 0x80: 32-bit calls are not covered
    load(kOffsetNumber);
    jump(BPF_JGE, kX32Bit, 0, 1);
    refuse();
    write_tree(0, entry_count_);
    write_trap();
    return fits_;
  }

  sock_fprog program() { return {static_cast<u16>(length_), program_}; }

 private:
  static constexpr u32 kToTrap = 0xffffffff, kToNext = 0xfffffffe;
  static constexpr u32 kMaxLength = 1200;

  void emit(u32 code, u32 value, u32 if_true = 0, u32 if_false = 0) {
    if (length_ == kMaxLength || if_true > 255 || if_false > 255) {
      fits_ = false;
      return;
    }
    program_[length_++] = {static_cast<u16>(code), static_cast<u8>(if_true), static_cast<u8>(if_false), value};
  }
  void load(u32 offset) { emit(BPF_LD | BPF_W | BPF_ABS, offset); }
  void jump(u32 test, u32 value, u32 if_true, u32 if_false) { emit(BPF_JMP | test | BPF_K, value, if_true, if_false); }
  void allow() { emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW); }
  void refuse() { emit(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS); }
  void trap() { emit(BPF_JMP | BPF_JA, kToTrap); }
  void next() { emit(BPF_JMP | BPF_JA, kToNext); }

  // Points the jumps with `mark` since `from` here.
  void patch(u32 from, u32 mark) {
    for (u32 i = from; i < length_; i++) {
      if (program_[i].code == (BPF_JMP | BPF_JA) && program_[i].k == mark) program_[i].k = length_ - i - 1;
    }
  }

  // Behind the last entry of the same call.
  u32 end_of_call(u32 first, u32 last) const {
    u32 end = first + 1;
    while (end < last && entries_[end]->number == entries_[first]->number) end++;
    return end;
  }

  void write_tree(u32 first, u32 last) {
    if (end_of_call(first, last) == last) return write_call(first, last);
    u32 middle = (first + last) / 2;
    while (middle > first && entries_[middle - 1]->number == entries_[middle]->number) middle--;
    if (middle == first) middle = end_of_call(first, last);
    // The right half may be farther than a conditional jump reaches.
    jump(BPF_JGE, entries_[middle]->number, 0, 1);
    u32 branch = length_;
    emit(BPF_JMP | BPF_JA, 0);
    write_tree(first, middle);
    if (branch < kMaxLength) program_[branch].k = length_ - branch - 1;
    write_tree(middle, last);
  }

  void write_call(u32 first, u32 last) {
    const Entry& entry = *entries_[first];
    if (entry.last == 0) {
      jump(BPF_JEQ, entry.number, 1, 0);
      allow();
    } else {
      jump(BPF_JGE, entry.number, 0, 1);
      jump(BPF_JGT, entry.last, 0, 1);
      allow();
    }
    for (u32 i = first; i < last; i++) {
      u32 begin = length_;
      write_test(*entries_[i]);
      patch(begin, kToNext);
    }
    allow();
  }

  void write_test(const Entry& entry) {
    switch (entry.test) {
      case Test::Always:
        return trap();
      case Test::Refuse:
        return refuse();
      case Test::Nonzero:
        return trap_if_nonzero(entry.argument);
      case Test::Nonzero32:
        load(low_half(entry.argument));
        return trap_unless(BPF_JEQ, 0);
      case Test::Negative:
        load(low_half(entry.argument));
        return trap_if(BPF_JSET, 0x80000000);
      case Test::Not:
        load(low_half(entry.argument));
        return trap_unless(BPF_JEQ, entry.value);
      case Test::BitSet:
        load(low_half(entry.argument));
        return trap_if(BPF_JSET, entry.value);
      case Test::BitClear:
        load(low_half(entry.argument));
        return trap_unless(BPF_JSET, entry.value);
      case Test::MaskSet:
        load(low_half(0));
        jump(BPF_JEQ, 1, 0, 1);  // SIG_UNBLOCK
        next();
        return trap_if_nonzero(1);
      case Test::FutexTime:
        return write_futex_time();
      case Test::FutexIds:
        return write_futex_ids();
      case Test::FarHint:
        return write_far_hint();
      case Test::OneOf:
        load(low_half(entry.argument));
        for (u32 i = 0; i < kMaxValues && entry.values[i] >= 0; i++) {
          trap_if(BPF_JEQ, static_cast<u32>(entry.values[i]));
        }
        return;
      case Test::ParkedFd:
        load(low_half(entry.argument));
        return trap_if(BPF_JEQ, parked_fd_);
      case Test::CoversParkedFd:
        load(low_half(0));
        jump(BPF_JGT, parked_fd_, 0, 1);
        next();
        load(low_half(1));
        return trap_if(BPF_JGE, parked_fd_);
    }
  }

  void trap_if(u32 test, u32 value) {
    jump(test, value, 0, 1);
    trap();
  }

  void trap_unless(u32 test, u32 value) {
    jump(test, value, 1, 0);
    trap();
  }

  void trap_if_nonzero(u32 argument) {
    load(low_half(argument));
    trap_unless(BPF_JEQ, 0);
    load(high_half(argument));
    trap_unless(BPF_JEQ, 0);
  }

  void write_futex_time() {
    load(low_half(1));
    emit(BPF_ALU | BPF_AND | BPF_K, 127 | 256);  // operation and FUTEX_CLOCK_REALTIME
    jump(BPF_JEQ, 9, 3, 0);                      // FUTEX_WAIT_BITSET
    jump(BPF_JEQ, 11, 2, 0);                     // FUTEX_WAIT_REQUEUE_PI
    jump(BPF_JEQ, 13, 1, 0);                     // FUTEX_LOCK_PI2
    next();
    trap_if_nonzero(3);
  }

  // Operations on a mutex with priority inheritance; and waits that processes share for a word that says it is waited
  // for, as the word of a robust mutex does (ids_futex.cc).
  void write_futex_ids() {
    constexpr u32 kPrivate = 128, kWaiters = 0x80000000;
    // LOCK_PI, UNLOCK_PI, TRYLOCK_PI, WAIT_REQUEUE_PI, CMP_REQUEUE_PI, LOCK_PI2
    constexpr u32 kPiOperations[] = {6, 7, 8, 11, 12, 13};
    load(low_half(1));
    emit(BPF_ALU | BPF_AND | BPF_K, 127);
    for (u32 operation : kPiOperations) trap_if(BPF_JEQ, operation);
    jump(BPF_JEQ, 0, 2, 0);  // FUTEX_WAIT
    jump(BPF_JEQ, 9, 1, 0);  // FUTEX_WAIT_BITSET
    next();
    load(low_half(1));
    jump(BPF_JSET, kPrivate, 0, 1);
    next();
    load(low_half(2));
    trap_if(BPF_JSET, kWaiters);
  }

  // Cheapest first: few mappings have these flags. Low addresses are asked for by those who have only 32 bits for them.
  void write_far_hint() {
    const auto go_on_if_equal = [this](u32 value) {
      jump(BPF_JEQ, value, 1, 0);
      next();
    };
    load(low_half(3));
    go_on_if_equal(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    load(low_half(2));
    go_on_if_equal(PROT_NONE);
    load(high_half(0));
    jump(BPF_JEQ, 0, 0, 1);
    next();
    load(high_half(1));
    go_on_if_equal(0);
    load(low_half(1));
    trap_unless(BPF_JGT, kMaxHintedBytes);
  }

  void write_trap() {
    static_assert((wire::kWindowBase & 0xffffffff) == 0);
    patch(0, kToTrap);
    load(kOffsetPointer + 4);
    jump(BPF_JEQ, wire::kWindowBase >> 32, 0, 3);
    load(kOffsetPointer);
    jump(BPF_JGE, wire::kWindowBytes, 1, 0);
    allow();
    emit(BPF_RET | BPF_K, SECCOMP_RET_TRAP | kTrapData);
  }

  u32 parked_fd_;
  const Entry* entries_[kEntryCount];
  u32 entry_count_ = 0;
  sock_filter program_[kMaxLength];
  u32 length_ = 0;
  bool fits_ = true;
};

}  // namespace

i64 install_filter(u32 parts, i32 parked_fd) {
  Writer writer(parts, parked_fd);  // 11 KiB of stack: at start and restore there is room
  if (!writer.write()) return -E2BIG;
  sock_fprog program = writer.program();
  i64 result = raw_syscall(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (result < 0) return result;
  // TSYNC: in a restore there may be a second thread (restore_working_set.cc). It gets the filter and no_new_privs, too.
  // SPEC_ALLOW (4.17): the filter is no sandbox, so kernels before 5.16 need not slow the program down with speculation
  // barriers.
  const u32 flags = (parts & kPartRestored) != 0 ? SECCOMP_FILTER_FLAG_TSYNC : 0;
  result = raw_syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
  if (result == -EINVAL) result = raw_syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (result > 0) return -ESRCH;  // the id of a thread with a filter of its own
  if (result == 0) g_private.parts = parts;
  return result;
}

}  // namespace stasis::runtime
