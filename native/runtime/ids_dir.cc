// getdents(2) and getdents64(2) on directories of procfs: processes and threads have their virtual ids as names, and the
// table's descriptor is not among those of fd/ and fdinfo/. Other directories pass.
//
// The kernel writes to a scratch slot, in pieces of at most three quarters of the program's buffer: an entry has at least
// 24 bytes, and a longer number makes it 32 at most.
#include <asm/statfs.h>
#include <linux/magic.h>

#include "runtime/ids.h"
#include "runtime/proc_path.h"
#include "runtime/program_memory.h"
#include "runtime/scratch.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/trap.h"

namespace stasis::runtime {

namespace {

constexpr u64 kInputBytes = 24576;
constexpr u64 kOutputBytes = 32768;

// Both calls' records start so; the name and the type lie elsewhere.
struct Entry {
  u64 inode;
  i64 offset;
  u16 bytes;
};

class Listing {
 public:
  Listing(bool wide, ProcPosition directory, char* output)
      : name_offset_(wide ? 19 : 18), wide_(wide), directory_(directory), output_(output) {}

  void add(const char* record) {
    const auto* entry = reinterpret_cast<const Entry*>(record);
    const char* name = record + name_offset_;
    const char* end = name;
    const u64 number = read_decimal(end);
    const bool numeric = end > name && *end == 0;
    if (numeric && lists_descriptors() && is_hidden_descriptor(directory_.process, number)) return;
    char digits[24];
    if (numeric && !lists_descriptors()) {
      write_decimal(digits, virtual_of(static_cast<u32>(number)));
      name = digits;
    }
    const u64 length = string_length(name);
    // The narrow form has its type in the last byte.
    const u64 bytes = (name_offset_ + length + 1 + (wide_ ? 0 : 1) + 7) & ~7UL;
    char* copy = output_ + used_;
    memset(copy, 0, bytes);
    memcpy(copy, record, name_offset_);
    reinterpret_cast<Entry*>(copy)->bytes = static_cast<u16>(bytes);
    memcpy(copy + name_offset_, name, length);
    if (!wide_) copy[bytes - 1] = record[entry->bytes - 1];
    used_ += bytes;
  }

  u64 used() const { return used_; }

 private:
  bool lists_descriptors() const {
    return directory_.place == ProcPlace::Descriptors || directory_.place == ProcPlace::DescriptorInfos;
  }

  u64 name_offset_;
  bool wide_;
  ProcPosition directory_;
  char* output_;
  u64 used_ = 0;
};

bool has_ids(ProcPlace place) {
  return place == ProcPlace::Root || place == ProcPlace::Tasks || place == ProcPlace::Descriptors ||
         place == ProcPlace::DescriptorInfos;
}

struct Request {
  Trap* trap;
  Scratch* scratch;
};

i64 list_on_scratch(void* argument) {
  const auto* request = static_cast<const Request*>(argument);
  Trap& trap = *request->trap;
  const i32 fd = static_cast<i32>(trap.arguments[0]);
  const u64 capacity = static_cast<u32>(trap.arguments[2]);
  const ProcPosition directory = position_of(fd);
  if (!has_ids(directory.place)) return raw_syscall(static_cast<i64>(trap.number), fd, trap.arguments[1], capacity);
  char* input = reinterpret_cast<char*>(request->scratch->pointers);
  static_assert(sizeof request->scratch->pointers >= kInputBytes + kOutputBytes);
  const u64 asked = capacity / 4 * 3 < kInputBytes ? capacity / 4 * 3 : kInputBytes;
  for (;;) {
    const i64 bytes = raw_syscall(static_cast<i64>(trap.number), fd, input, asked);
    if (bytes <= 0) return bytes;
    Listing listing(trap.number == __NR_getdents64, directory, input + kInputBytes);
    for (i64 at = 0; at < bytes; at += reinterpret_cast<const Entry*>(input + at)->bytes) listing.add(input + at);
    if (listing.used() == 0) continue;  // 0 would be the end
    const i64 result = write_program(trap.arguments[1], input + kInputBytes, listing.used());
    return result < 0 ? result : static_cast<i64>(listing.used());
  }
}

bool is_procfs(u64 fd) {
  struct statfs status;
  return raw_syscall(__NR_fstatfs, static_cast<i32>(fd), &status) == 0 && status.f_type == PROC_SUPER_MAGIC;
}

}  // namespace

i64 trapped_getdents(Trap& trap) {
  if (!is_procfs(trap.arguments[0])) {
    return raw_syscall(static_cast<i64>(trap.number), trap.arguments[0], trap.arguments[1], trap.arguments[2]);
  }
  Scratch* scratch = wait_for_scratch();
  if (scratch == nullptr) return -ENOMEM;
  Request request{&trap, scratch};
  const i64 result = run_on_scratch(scratch, list_on_scratch, &request);
  release_scratch(scratch);
  return result;
}

}  // namespace stasis::runtime
