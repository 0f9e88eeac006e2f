// Memory for copies that are made while the application is held. Its pages exist already: on first touch each would cost more
// than the copying itself (docs/kernel-facts.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace stasis::checkpoint {

class CopyRoom {
 public:
  CopyRoom() = default;
  CopyRoom(const CopyRoom&) = delete;
  CopyRoom& operator=(const CopyRoom&) = delete;
  ~CopyRoom();

  // Before the application is held: sees to it that so much is there, at most kMostBytes. No room is no failure.
  void prepare(std::uint64_t bytes);
  // Zeros. What was not prepared is made now.
  Result<std::span<std::uint8_t>> take(std::uint64_t bytes);

  static constexpr std::uint64_t kMostBytes = 256 << 20;

 private:
  struct Area {
    std::uint8_t* start;
    std::uint64_t bytes, used;
  };
  bool add(std::uint64_t bytes, bool populated);
  std::vector<Area> areas_;
};

}  // namespace stasis::checkpoint
