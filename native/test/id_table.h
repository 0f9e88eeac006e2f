// A translation table for unit tests, as a launch makes it, mapped.
#pragma once

#include <sys/mman.h>

#include <ctime>

#include "launch/id_table.h"
#include "wire/ids.h"

namespace stasis::test {

class IdTable {
 public:
  explicit IdTable(u32 shift) {
    auto made = launch::make_id_table({.application = "unit-test", .shift = shift});
    if (!made.ok()) return;
    void* mapped = ::mmap(nullptr, wire::kIdTableBytes, PROT_READ | PROT_WRITE, MAP_SHARED, made.value().get(), 0);
    if (mapped != MAP_FAILED) base_ = static_cast<u8*>(mapped);
  }
  ~IdTable() {
    if (base_ != nullptr) ::munmap(base_, wire::kIdTableBytes);
  }
  IdTable(const IdTable&) = delete;
  IdTable& operator=(const IdTable&) = delete;

  bool ok() const { return base_ != nullptr; }
  wire::IdTableView view() const { return {base_}; }

 private:
  u8* base_ = nullptr;
};

// Finer than the stamps of programs (2 us for 16.8 ms), so that a test may use a system id again at once, which the
// kernel does not within one stamp.
inline u32 fine_stamp() {
  timespec time;
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return static_cast<u32>((static_cast<u64>(time.tv_sec) * 1'000'000'000 + static_cast<u64>(time.tv_nsec)) >> 11);
}

}  // namespace stasis::test
