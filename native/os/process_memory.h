// The memory of another process: process_vm_readv/writev, with /proc/PID/mem for what the process itself may not read
// (PROT_NONE). Needs ptrace access; needs no stop.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <type_traits>

#include "base/result.h"
#include "os/unique_fd.h"

namespace stasis {

class ProcessMemory {
 public:
  // Opens /proc/PID/mem at once, so that later reads cannot reach another process of the same number.
  static Result<ProcessMemory> open(pid_t pid);

  // All of `into`, or an error naming the first address that could not be read.
  Status read(std::uint64_t address, std::span<std::uint8_t> into) const;
  // Many ranges at a time, in few calls.
  struct Transfer {
    std::uint64_t address;
    std::uint8_t* to;
    std::size_t bytes;
  };
  Status read(std::span<const Transfer> transfers) const;
  Status write(std::uint64_t address, std::span<const std::uint8_t> from) const;

  template <typename T>
  Result<T> read_value(std::uint64_t address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    const Status status = read(address, {reinterpret_cast<std::uint8_t*>(&value), sizeof value});
    if (!status.ok()) return status.error();
    return value;
  }

  template <typename T>
  Status write_value(std::uint64_t address, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    return write(address, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
  }

 private:
  Status read_one(const Transfer& transfer) const;

  ProcessMemory(pid_t pid, UniqueFd mem) : pid_(pid), mem_(std::move(mem)) {}

  pid_t pid_;
  UniqueFd mem_;
};

}  // namespace stasis
