// signalfd: the records that are read from it name the senders of signals.
//
// Reads must stay free of traps, so they are trapped for the numbers of such descriptors only: each number gets a small
// filter of its own when the descriptor is made or copied, on top of the application's and for all threads. A number
// keeps its filter for good; what it stands for at the time of a read is asked then. After kMaxWatched numbers one filter
// traps the reads of all descriptors.
//
// A descriptor that another process is sent over a socket is not seen: its records name system ids there.
#include <asm/siginfo.h>
#include <linux/audit.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "runtime/filter.h"
#include "runtime/ids.h"
#include "runtime/ids_complete.h"
#include "runtime/ids_signal.h"
#include "runtime/program_memory.h"
#include "runtime/state.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

constexpr u32 kMaxWatched = 8;
constexpr u32 kRecordBytes = 128;  // struct signalfd_siginfo
constexpr u32 kEveryNumber = ~0u;
constexpr i32 kDuplicateClosed = 1030;  // F_DUPFD_CLOEXEC

struct Record {  // the start of struct signalfd_siginfo
  u32 signal;
  i32 error;
  i32 code;
  u32 pid;
  u32 uid;
  i32 fd;
  u32 timer;
};

struct IoVector {
  u64 address;
  u64 bytes;
};

// Numbers that have a filter, plus one so that 0 means none. A forked child inherits both; after an exec a number may get
// a second filter, which does no harm.
u32 g_watched[kMaxWatched];

bool is_signalfd(u64 fd) {
  char path[48], target[32];
  write_decimal(write_text(path, "/proc/thread-self/fd/"), static_cast<u32>(fd));
  const i64 bytes = raw_syscall(__NR_readlinkat, AT_FDCWD, path, target, sizeof target - 1);
  if (bytes < 0) return false;
  target[bytes] = 0;
  return string_equal(target, "anon_inode:[signalfd]");
}

// The filter of one number: reads, and what makes a copy with another number; or that of all, which needs no copies.
class NumberFilter {
 public:
  explicit NumberFilter(u32 fd) {
    constexpr u32 kCalls[] = {__NR_read, __NR_readv, __NR_preadv2, __NR_dup, __NR_dup2, __NR_dup3, __NR_fcntl};
    const u32 calls = fd == kEveryNumber ? 3 : sizeof kCalls / sizeof kCalls[0];
    load(__builtin_offsetof(seccomp_data, arch));
    allow_unless(BPF_JEQ, AUDIT_ARCH_X86_64);
    load(__builtin_offsetof(seccomp_data, nr));
    for (u32 i = 0; i < calls; i++) jump(BPF_JEQ, kCalls[i], calls - i, 0);
    allow();
    if (fd != kEveryNumber) {
      jump(BPF_JEQ, __NR_fcntl, 0, 4);
      load(low_half(1));
      jump(BPF_JEQ, F_DUPFD, 2, 0);
      allow_unless(BPF_JEQ, kDuplicateClosed);
      load(low_half(0));
      allow_unless(BPF_JEQ, fd);
    }
    // The runtime's own calls (filter_program.cc).
    load(__builtin_offsetof(seccomp_data, instruction_pointer) + 4);
    jump(BPF_JEQ, wire::kWindowBase >> 32, 0, 3);
    load(__builtin_offsetof(seccomp_data, instruction_pointer));
    jump(BPF_JGE, wire::kWindowBytes, 1, 0);
    allow();
    emit(BPF_RET | BPF_K, SECCOMP_RET_TRAP | kTrapData, 0, 0);
  }

  // For all threads, or at least for the caller where another has a filter of its own. Flags as in filter.cc. 0 or
  // -errno.
  i64 install() {
    sock_fprog program{static_cast<u16>(length_), code_};
    constexpr u64 kFlags[] = {SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                              SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0};
    for (u64 flags : kFlags) {
      const i64 result = raw_syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
      if (result == 0) {
        // A child that borrows this memory has its filters for itself: a checkpoint takes them for its own.
        if (owns_memory()) __atomic_fetch_add(&g_state.stacked_filters, 1, __ATOMIC_RELAXED);
        return 0;
      }
      if (result < 0 && result != -EINVAL) return result;
    }
    return -EINVAL;
  }

 private:
  static constexpr u32 low_half(u32 argument) { return __builtin_offsetof(seccomp_data, args) + 8 * argument; }

  void emit(u32 code, u32 value, u32 if_true, u32 if_false) {
    code_[length_++] = {static_cast<u16>(code), static_cast<u8>(if_true), static_cast<u8>(if_false), value};
  }
  void load(u32 offset) { emit(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0); }
  void jump(u32 test, u32 value, u32 if_true, u32 if_false) { emit(BPF_JMP | test | BPF_K, value, if_true, if_false); }
  void allow() { emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0); }
  void allow_unless(u32 test, u32 value) {
    jump(test, value, 1, 0);
    allow();
  }

  sock_filter code_[32];
  u32 length_ = 0;
};

// Sees to it that reads of the number trap. 0 or -errno.
i64 watch(u32 fd) {
  // A child that borrows this memory has filters of its own.
  if (!owns_memory()) return NumberFilter(fd).install();
  for (u32 i = 0; i < kMaxWatched; i++) {
    const u32 number = i == kMaxWatched - 1 ? kEveryNumber - 1 : fd;
    u32 present = __atomic_load_n(&g_watched[i], __ATOMIC_ACQUIRE);
    if (present == number + 1 || present == kEveryNumber) return 0;
    if (present != 0 ||
        !__atomic_compare_exchange_n(&g_watched[i], &present, number + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      continue;
    }
    const i64 result = NumberFilter(number == fd ? fd : kEveryNumber).install();
    if (result < 0) __atomic_store_n(&g_watched[i], 0, __ATOMIC_RELEASE);
    return result;
  }
  return 0;
}

// Copies between `buffer` and the place `offset` bytes into what a read filled, which may be in pieces.
class FilledPieces {
 public:
  explicit FilledPieces(const arch::KernelSigcontext& registers)
      : single_{registers.rsi, registers.rdx},
        vector_(registers.rax == __NR_read ? 0 : registers.rsi),
        count_(registers.rax == __NR_read ? 1 : registers.rdx) {}

  template <typename Copy>
  bool each(u64 offset, u64 bytes, Copy copy) const {
    u64 done = 0;
    for (u64 i = 0; i < count_ && done < bytes; i++) {
      IoVector piece = single_;
      if (vector_ != 0 && read_program(&piece, vector_ + i * sizeof piece, sizeof piece) < 0) return false;
      if (offset >= piece.bytes) {
        offset -= piece.bytes;
        continue;
      }
      u64 part = piece.bytes - offset;
      if (part > bytes - done) part = bytes - done;
      if (copy(done, piece.address + offset, part) < 0) return false;
      done += part;
      offset = 0;
    }
    return done == bytes;
  }

 private:
  IoVector single_;
  u64 vector_, count_;
};

void translate_record(const FilledPieces& pieces, u64 offset) {
  Record record;
  auto* bytes = reinterpret_cast<u8*>(&record);
  if (!pieces.each(offset, sizeof record,
                   [&](u64 at, u64 from, u64 part) { return read_program(bytes + at, from, part); })) {
    return;
  }
  // The same fields as in siginfo_t, at other places.
  const bool timer = record.code == SI_TIMER;
  SignalInfoHead head{static_cast<i32>(record.signal), record.error, record.code, 0, 0, record.uid};
  head.pid = static_cast<i32>(timer ? record.timer : record.pid);
  translate_info(&head);
  (timer ? record.timer : record.pid) = static_cast<u32>(head.pid);
  pieces.each(offset, sizeof record, [&](u64 at, u64 to, u64 part) { return write_program(to, bytes + at, part); });
}

}  // namespace

i64 watch_signalfd(u32 fd) { return ids_on() ? watch(fd) : 0; }

i64 trapped_signalfd(Trap& trap) {
  const i64 fd = raw_syscall(static_cast<i64>(trap.number), trap.arguments[0], trap.arguments[1], trap.arguments[2],
                             trap.arguments[3]);
  if (fd < 0) return fd;
  const i64 result = watch(static_cast<u32>(fd));
  if (result == 0 || static_cast<i32>(trap.arguments[0]) != -1) return fd;
  raw_syscall(__NR_close, fd);
  return result;
}

bool copies_descriptor(const Trap& trap) {
  switch (trap.number) {
    case __NR_dup:
      return static_cast<i32>(trap.arguments[0]) != parked_fd();
    case __NR_dup2:
    case __NR_dup3:
      return static_cast<i32>(trap.arguments[1]) != parked_fd();
    case __NR_fcntl:
      return static_cast<i32>(trap.arguments[0]) != parked_fd() &&
             (static_cast<i32>(trap.arguments[1]) == F_DUPFD ||
              static_cast<i32>(trap.arguments[1]) == kDuplicateClosed);
    default:
      return false;
  }
}

i64 trapped_signalfd_copy(Trap& trap) {
  const i64 fd = raw_syscall(static_cast<i64>(trap.number), trap.arguments[0], trap.arguments[1], trap.arguments[2]);
  if (fd >= 0 && is_signalfd(static_cast<u64>(fd))) watch(static_cast<u32>(fd));
  return fd;
}

i64 trapped_signalfd_read(Trap& trap) { return complete_signalfd_read(*trap.context, blocking_call(trap)); }

i64 complete_signalfd_read(const arch::KernelUcontext& program, i64 result) {
  if (result <= 0 || result % kRecordBytes != 0 || !is_signalfd(program.context.rdi)) return result;
  const FilledPieces pieces(program.context);
  for (i64 offset = 0; offset < result; offset += kRecordBytes) translate_record(pieces, static_cast<u64>(offset));
  return result;
}

}  // namespace stasis::runtime
