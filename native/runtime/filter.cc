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
  Refuse,     // answer ENOSYS
  Nonzero,    // the 64-bit argument is not zero
  BitSet,     // argument & value
  BitClear,   // !(argument & value)
  MaskSet,    // rt_sigprocmask with a set that could block
  FutexTime,  // futex operation with an absolute time of the monotonic clock
  OneOf,      // argument is one of `values`
  FarHint,    // mmap of a small reservation at a place that is asked for, not demanded
};

constexpr u32 kMaxValues = 8;

struct Entry {
  u32 number;
  bool restored_only;
  Test test;
  u8 argument = 0;
  u32 value = 0;
  i32 values[kMaxValues] = {};  // ends with -1
};

constexpr bool kAlways = false, kRestored = true;  // Entry::restored_only

// Reservations as garbage collectors make them for one piece of their heap; larger ones are whole heaps and code areas,
// whose place matters.
constexpr u32 kMaxHintedBytes = 1 << 20;

// Sorted by number.
constexpr Entry kEntries[] = {
    // Places at random would cost a restore one call each (reservation.cc).
    {__NR_mmap, kAlways, Test::FarHint},
    // Replaces handlers by thunks and keeps SIGSYS from being replaced.
    {__NR_rt_sigaction, kAlways, Test::Always},
    // Could block SIGSYS; with no set, or to unblock, it cannot.
    {__NR_rt_sigprocmask, kAlways, Test::MaskSet},
    // The frame's mask may have been edited to block SIGSYS.
    {__NR_rt_sigreturn, kAlways, Test::Always},
    // Growth and moves of image pages (memory.cc).
    {__NR_mremap, kRestored, Test::Always},
    // Advice that drops pages or that a file mapping refuses: DONTNEED 4, FREE 8, REMOVE 9, WIPEONFORK 18,
    // DONTNEED_LOCKED 24,
    // GUARD_INSTALL 102 (memory.cc, needs_care).
    {__NR_madvise, kRestored, Test::OneOf, 2, 0, {4, 8, 9, 18, 24, 102, -1}},
    // The child of a fork starts with marks of its own (state.h). Threads and vfork pass.
    {__NR_clone, kAlways, Test::BitClear, 0, CLONE_VM},
    {__NR_fork, kAlways, Test::Always},
    // The new program gets the runtime first.
    {__NR_execve, kAlways, Test::Always},
    // /proc/self/exe.
    {__NR_readlink, kAlways, Test::Always},
    // Masks that could block SIGSYS while a handler runs in the call.
    {__NR_rt_sigsuspend, kAlways, Test::Always},
    // Absolute times and raw readings of clocks that have an offset.
    {__NR_futex, kRestored, Test::FutexTime},
    {__NR_timer_settime, kRestored, Test::BitSet, 1, 1},
    {__NR_clock_gettime, kRestored, Test::OneOf, 0, 0, {1, 4, 6, 7, 9, -1}},
    {__NR_clock_nanosleep, kRestored, Test::BitSet, 1, 1},
    {__NR_readlinkat, kAlways, Test::Always},
    {__NR_pselect6, kAlways, Test::Nonzero, 5},
    {__NR_ppoll, kAlways, Test::Nonzero, 3},
    {__NR_epoll_pwait, kAlways, Test::Nonzero, 4},
    {__NR_timerfd_settime, kRestored, Test::BitSet, 1, 1},
    {__NR_execveat, kAlways, Test::Always},
    {__NR_io_pgetevents, kAlways, Test::Nonzero, 5},
    // Acts on the kernel behind any filter, and its rings cannot be saved.
    {__NR_io_uring_setup, kAlways, Test::Refuse},
    // Flags in memory: CLONE_CLEAR_SIGHAND would take the SIGSYS handler away unseen.
    {__NR_clone3, kAlways, Test::Refuse},
    {__NR_process_madvise, kRestored, Test::OneOf, 3, 0, {4, 8, 9, 18, 24, 102, -1}},
    {__NR_epoll_pwait2, kAlways, Test::Nonzero, 4},
    {449, kRestored, Test::Nonzero, 3},  // futex_waitv (5.16)
    {455, kRestored, Test::Nonzero, 4},  // futex_wait (6.7)
};

constexpr u32 kEntryCount = sizeof kEntries / sizeof kEntries[0];

constexpr bool sorted() {
  for (u32 i = 1; i < kEntryCount; i++) {
    if (kEntries[i - 1].number >= kEntries[i].number) return false;
  }
  return true;
}
static_assert(sorted());

constexpr u32 kX32Bit = 0x40000000;
constexpr u32 kOffsetNumber = 0, kOffsetArchitecture = 4, kOffsetPointer = 8;  // struct seccomp_data
constexpr u32 low_half(u32 argument) { return 16 + 8 * argument; }
constexpr u32 high_half(u32 argument) { return 20 + 8 * argument; }

// Writes the program. Jumps to the trap block, whose place is known last, are kept as JA with kToTrap and patched.
class Writer {
 public:
  explicit Writer(FilterKind kind) {
    for (const Entry& entry : kEntries) {
      if (!entry.restored_only || kind == FilterKind::Restored) entries_[entry_count_++] = &entry;
    }
  }

  // False if a jump is too far for the format, which depends on the table alone.
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
  static constexpr u32 kToTrap = 0xffffffff;
  static constexpr u32 kMaxLength = 400;

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

  void write_tree(u32 first, u32 last) {
    if (last - first == 1) {
      jump(BPF_JEQ, entries_[first]->number, 1, 0);
      allow();
      write_leaf(*entries_[first]);
      return;
    }
    u32 middle = (first + last) / 2;
    u32 branch = length_;
    jump(BPF_JGE, entries_[middle]->number, 0, 0);
    write_tree(first, middle);
    u32 distance = length_ - branch - 1;
    if (distance > 255) fits_ = false;
    program_[branch].jt = static_cast<u8>(distance);
    write_tree(middle, last);
  }

  void write_leaf(const Entry& entry) {
    switch (entry.test) {
      case Test::Always:
        trap();
        return;
      case Test::Refuse:
        refuse();
        return;
      case Test::Nonzero:
        trap_if_nonzero(entry.argument);
        return;
      case Test::BitSet:
        load(low_half(entry.argument));
        jump(BPF_JSET, entry.value, 1, 0);
        allow();
        trap();
        return;
      case Test::BitClear:
        load(low_half(entry.argument));
        jump(BPF_JSET, entry.value, 0, 1);
        allow();
        trap();
        return;
      case Test::MaskSet:
        load(low_half(0));
        jump(BPF_JEQ, 1, 0, 1);  // SIG_UNBLOCK
        allow();
        trap_if_nonzero(1);
        return;
      case Test::FutexTime:
        load(low_half(1));
        emit(BPF_ALU | BPF_AND | BPF_K, 127 | 256);  // operation and FUTEX_CLOCK_REALTIME
        jump(BPF_JEQ, 9, 3, 0);                      // FUTEX_WAIT_BITSET
        jump(BPF_JEQ, 11, 2, 0);                     // FUTEX_WAIT_REQUEUE_PI
        jump(BPF_JEQ, 13, 1, 0);                     // FUTEX_LOCK_PI2
        allow();
        trap_if_nonzero(3);
        return;
      case Test::FarHint:
        write_far_hint();
        return;
      case Test::OneOf:
        load(low_half(entry.argument));
        for (u32 i = 0; i < kMaxValues && entry.values[i] >= 0; i++) {
          jump(BPF_JEQ, static_cast<u32>(entry.values[i]), 0, 1);
          trap();
        }
        allow();
        return;
    }
  }

  void trap_if_nonzero(u32 argument) {
    load(low_half(argument));
    jump(BPF_JEQ, 0, 1, 0);
    trap();
    load(high_half(argument));
    jump(BPF_JEQ, 0, 1, 0);
    trap();
    allow();
  }

  // Cheapest first: few mappings have these flags. Low addresses are asked for by those who have only 32 bits for them.
  void write_far_hint() {
    load(low_half(3));
    jump(BPF_JEQ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, 1, 0);
    allow();
    load(low_half(2));
    jump(BPF_JEQ, PROT_NONE, 1, 0);
    allow();
    load(high_half(0));
    jump(BPF_JEQ, 0, 0, 1);
    allow();
    load(high_half(1));
    jump(BPF_JEQ, 0, 1, 0);
    allow();
    load(low_half(1));
    jump(BPF_JGT, kMaxHintedBytes, 0, 1);
    allow();
    trap();
  }

  void write_trap() {
    static_assert((wire::kWindowBase & 0xffffffff) == 0);
    for (u32 i = 0; i < length_; i++) {
      if (program_[i].code == (BPF_JMP | BPF_JA)) program_[i].k = length_ - i - 1;
    }
    load(kOffsetPointer + 4);
    jump(BPF_JEQ, wire::kWindowBase >> 32, 0, 3);
    load(kOffsetPointer);
    jump(BPF_JGE, wire::kWindowBytes, 1, 0);
    allow();
    emit(BPF_RET | BPF_K, SECCOMP_RET_TRAP | kTrapData);
  }

  const Entry* entries_[kEntryCount];
  u32 entry_count_ = 0;
  sock_filter program_[kMaxLength];
  u32 length_ = 0;
  bool fits_ = true;
};

}  // namespace

i64 install_filter(FilterKind kind) {
  Writer writer(kind);
  if (!writer.write()) return -E2BIG;
  sock_fprog program = writer.program();
  i64 result = raw_syscall(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (result < 0) return result;
  // SPEC_ALLOW (4.17): the filter is no sandbox, so kernels before 5.16 need not slow the program down with speculation
  // barriers.
  result = raw_syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
  if (result == -EINVAL) result = raw_syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
  if (result == 0) g_private.restored_filter = kind == FilterKind::Restored;
  return result;
}

}  // namespace stasis::runtime
