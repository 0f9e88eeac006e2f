// A binary search over call numbers, so that a call that is not in the table is decided by its number alone after a few
// tests; the kernel finds that out when the filter is installed and never runs it for such calls (kernel/seccomp.c, 5.11,
// seccomp_cache_prepare). Arguments are tested at the leaves. The instruction pointer is tested last: calls from the
// window (runtime and host vdso) pass. Pointers are 64 bits wide and tested in both halves; what the kernel declares int
// is tested in the low half.
#include "runtime/filter_program.h"

#include <linux/audit.h>
#include <linux/errno.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/seccomp.h>

#include "runtime/filter.h"
#include "runtime/filter_calls.h"
#include "wire/layout.h"

namespace stasis::runtime::filter {

namespace {

constexpr u32 kX32Bit = 0x40000000;
constexpr u32 kOffsetNumber = 0, kOffsetArchitecture = 4, kOffsetPointer = 8;  // struct seccomp_data
constexpr u32 low_half(u32 argument) { return 16 + 8 * argument; }
constexpr u32 high_half(u32 argument) { return 20 + 8 * argument; }

constexpr u32 entries_of(u32 number) {
  u32 count = 0;
  for (const Entry& entry : kEntries) count += entry.number == number;
  return count;
}

// Writes the program. Jumps to the trap block and to the end of a leaf's test, whose places are known later, are kept as
// JA with a mark and patched. A test that does not match falls through to the next one of the same call.
class Writer {
 public:
  Writer(u32 parts, i32 parked_fd, Program& program) : parked_fd_(static_cast<u32>(parked_fd)), program_(program) {
    program_.length = 0;
    for (const Entry& entry : kEntries) {
      if ((entry.part & parts) == 0) continue;
      if (entry.number == __NR_futex) {
        futex_entries_[futex_entry_count_++] = &entry;
      } else {
        entries_[entry_count_++] = &entry;
      }
    }
  }

  bool write() {
    load(kOffsetArchitecture);
    jump(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0);
    refuse();  // int 0x80: 32-bit calls are not covered
    load(kOffsetNumber);
    if (futex_entry_count_ != 0) write_futex();
    jump(BPF_JGE, kX32Bit, 0, 1);
    refuse();
    write_tree(0, entry_count_);
    write_trap();
    return fits_;
  }

 private:
  static constexpr u32 kFutexCommand = 127;  // without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME
  static constexpr u32 kToTrap = 0xffffffff, kToNext = 0xfffffffe;

  void emit(u32 code, u32 value, u32 if_true = 0, u32 if_false = 0) {
    if (program_.length == kMaxLength || if_true > 255 || if_false > 255) {
      fits_ = false;
      return;
    }
    program_.code[program_.length++] = {static_cast<u16>(code), static_cast<u8>(if_true), static_cast<u8>(if_false),
                                        value};
  }
  void load(u32 offset) { emit(BPF_LD | BPF_W | BPF_ABS, offset); }
  void jump(u32 test, u32 value, u32 if_true, u32 if_false) { emit(BPF_JMP | test | BPF_K, value, if_true, if_false); }
  void allow() { emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW); }
  void refuse() { emit(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS); }
  void trap() { emit(BPF_JMP | BPF_JA, kToTrap); }
  void next() { emit(BPF_JMP | BPF_JA, kToNext); }

  // Points the jumps with `mark` since `from` here.
  void patch(u32 from, u32 mark) {
    for (u32 i = from; i < program_.length; i++) {
      if (program_.code[i].code == (BPF_JMP | BPF_JA) && program_.code[i].k == mark)
        program_.code[i].k = program_.length - i - 1;
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
    u32 branch = program_.length;
    emit(BPF_JMP | BPF_JA, 0);
    write_tree(first, middle);
    if (branch < kMaxLength) program_.code[branch].k = program_.length - branch - 1;
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
    write_tests(entries_ + first, last - first);
  }

  void write_tests(const Entry* const* entries, u32 count) {
    for (u32 i = 0; i < count; i++) {
      const u32 begin = program_.length;
      write_test(*entries[i]);
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

  // Before the search: no other call of the table is made as often. What mutexes and conditions within one process make
  // leaves first.
  void write_futex() {
    jump(BPF_JEQ, __NR_futex, 1, 0);
    const u32 others = program_.length;
    emit(BPF_JMP | BPF_JA, 0);
    load(low_half(1));
    jump(BPF_JEQ, FUTEX_WAKE_PRIVATE, 2, 0);
    jump(BPF_JEQ, FUTEX_WAIT_PRIVATE, 1, 0);
    jump(BPF_JEQ, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, 1);
    allow();
    write_tests(futex_entries_, futex_entry_count_);
    if (others < kMaxLength) program_.code[others].k = program_.length - others - 1;
  }

  // Keeps the part of a futex operation that `mask` has, to be tested by in_set.
  void load_operation(u32 mask) {
    load(low_half(1));
    emit(BPF_ALU | BPF_AND | BPF_K, mask);
    jump(BPF_JGT, 31, 0, 1);
    next();
    emit(BPF_MISC | BPF_TAX, 0);
  }

  // Makes bit 0 tell whether the operation is in `set`, a bit for each.
  void in_set(u32 set) {
    emit(BPF_LD | BPF_IMM, set);
    emit(BPF_ALU | BPF_RSH | BPF_X, 0);
  }

  void write_futex_time() {
    load_operation(kFutexCommand | FUTEX_CLOCK_REALTIME);
    in_set(1 << FUTEX_WAIT_BITSET | 1 << FUTEX_WAIT_REQUEUE_PI | 1 << FUTEX_LOCK_PI2);
    jump(BPF_JSET, 1, 1, 0);
    next();
    trap_if_nonzero(3);
  }

  // Operations on a mutex with priority inheritance; and waits that processes share for a word that says it is waited
  // for, as the word of a robust mutex does (ids_futex.cc).
  void write_futex_ids() {
    load_operation(kFutexCommand);
    in_set(1 << FUTEX_LOCK_PI | 1 << FUTEX_UNLOCK_PI | 1 << FUTEX_TRYLOCK_PI | 1 << FUTEX_WAIT_REQUEUE_PI |
           1 << FUTEX_CMP_REQUEUE_PI | 1 << FUTEX_LOCK_PI2);
    trap_if(BPF_JSET, 1);
    in_set(1 << FUTEX_WAIT | 1 << FUTEX_WAIT_BITSET);
    jump(BPF_JSET, 1, 1, 0);
    next();
    load(low_half(1));
    jump(BPF_JSET, FUTEX_PRIVATE_FLAG, 0, 1);
    next();
    load(low_half(2));
    trap_if(BPF_JSET, FUTEX_WAITERS);
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
  const Entry* futex_entries_[entries_of(__NR_futex)];
  u32 futex_entry_count_ = 0;
  Program& program_;
  bool fits_ = true;
};

}  // namespace

bool write_program(u32 parts, i32 parked_fd, Program& program) { return Writer(parts, parked_fd, program).write(); }

}  // namespace stasis::runtime::filter
