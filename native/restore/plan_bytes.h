// The bytes of one part of a plan, GroupPlan or Plan: strings and blobs behind the header as they come, arrays behind them at the
// end. Offsets that add_* return are from the part's start and stay valid.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/plan.h"

namespace stasis::restore {

class PlanBytes {
 public:
  explicit PlanBytes(std::size_t header_bytes) : bytes_(header_bytes) {}

  // Offset of the NUL-terminated string; equal strings share one. Stops at an embedded NUL, which no path of a valid
  // image has.
  std::uint64_t add_string(std::string_view text);
  // Offset of a copy of the bytes.
  std::uint64_t add_bytes(std::span<const std::uint8_t> bytes, std::size_t alignment = 8);
  // Offset of `count` zero bytes.
  std::uint64_t add_zeros(std::uint64_t count, std::size_t alignment);
  // Writes into what add_* returned.
  void write(std::uint64_t offset, std::span<const std::uint8_t> bytes);

  template <typename T>
  wire::Array add_array(const std::vector<T>& entries) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(entries.data());
    return {.offset = add_bytes({first, entries.size() * sizeof(T)}), .count = entries.size()};
  }

  void align(std::size_t alignment);
  std::size_t size() const { return bytes_.size(); }
  std::vector<std::uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<std::uint8_t> bytes_;
  std::map<std::string, std::uint64_t, std::less<>> strings_;
};

}  // namespace stasis::restore
