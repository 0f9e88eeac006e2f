// Reading and writing the program's memory (see program_memory.h).
#include "runtime/program_memory.h"

#include "runtime/own_filters.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/layout.h"

namespace stasis::runtime {

namespace {

struct IoVector {
  u64 address;
  u64 bytes;
};

// One piece. process_vm_readv may copy less than asked when it meets a bad page; the caller then sees a short count.
i64 copy_piece(i64 call, u64 own, u64 program, u64 bytes) {
  if (may_call(kOwnMemory)) {
    IoVector local{own, bytes}, remote{program, bytes};
    // The thread's own id: the leader's may be that of a thread that has ended, whose memory the kernel cannot find.
    i64 result = raw_syscall(call, raw_syscall(__NR_gettid), &local, 1, &remote, 1, 0);
    if (result != -ENOSYS && result != -EPERM) return result;
    forgo(kOwnMemory);
  }
  // A filter of the program's own or an outer sandbox forbids the call (Docker's profile before kernel 4.8 did): a bad
  // pointer is then a fault, as in a library.
  u64 to = call == __NR_process_vm_readv ? own : program;
  u64 from = call == __NR_process_vm_readv ? program : own;
  memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
  return static_cast<i64>(bytes);
}

constexpr i64 kNoSuchHow = -1;

// Whether the page can be read now, by the cheapest call that says so: rt_sigprocmask copies the set before it finds that
// there is no such operation (kernel/signal.c). A word beside the end of the page would tell of the next one, too.
bool page_is_readable(u64 address) {
  constexpr u64 kLastWord = wire::kPageBytes - sizeof(u64);
  const u64 page = address & ~(wire::kPageBytes - 1), offset = address & (wire::kPageBytes - 1);
  const u64 word = page + (offset < kLastWord ? offset : kLastWord);
  return raw_syscall(__NR_rt_sigprocmask, kNoSuchHow, word, nullptr, sizeof(u64)) == -EINVAL;
}

}  // namespace

i64 read_program(void* to, u64 from, u64 bytes) {
  if (bytes == 0) return 0;
  // Within a page, a third of what process_vm_readv costs. Another thread that unmaps what this one has passed to a system
  // call, at this very moment, would bring a fault where the kernel has EFAULT.
  if ((from & (wire::kPageBytes - 1)) + bytes <= wire::kPageBytes) {
    if (!page_is_readable(from)) return -EFAULT;
    memcpy(to, reinterpret_cast<const void*>(from), bytes);
    return 0;
  }
  i64 result = copy_piece(__NR_process_vm_readv, reinterpret_cast<u64>(to), from, bytes);
  return result == static_cast<i64>(bytes) ? 0 : -EFAULT;
}

i64 write_program(u64 to, const void* from, u64 bytes) {
  if (bytes == 0) return 0;
  i64 result = copy_piece(__NR_process_vm_writev, reinterpret_cast<u64>(from), to, bytes);
  return result == static_cast<i64>(bytes) ? 0 : -EFAULT;
}

i64 read_program_string(char* to, u64 from, u64 capacity) {
  u64 length = 0;
  while (length < capacity) {
    // Up to 256 bytes that do not cross a page, so that a string at the end of a mapping is read.
    u64 piece = wire::kPageBytes - ((from + length) & (wire::kPageBytes - 1));
    if (piece > 256) piece = 256;
    if (piece > capacity - length) piece = capacity - length;
    if (read_program(to + length, from + length, piece) < 0) return -EFAULT;
    for (u64 end = length + piece; length < end; length++) {
      if (to[length] == 0) return static_cast<i64>(length);
    }
  }
  return -ENAMETOOLONG;
}

}  // namespace stasis::runtime
