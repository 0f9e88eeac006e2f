// XXH64 with seed 0 over bytes that come in pieces. checksum() of image/image.h is the same over bytes at hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace stasis::image {

class StreamingChecksum {
 public:
  StreamingChecksum() { reset(); }
  void reset();
  void update(std::span<const std::uint8_t> bytes);
  std::uint64_t value() const;  // of all bytes since reset; more may follow

 private:
  // Room for XXH64_state_t, so that its header is included by checksum.cc alone.
  alignas(8) std::byte state_[88];
};

// Of a whole file, which is read from its beginning; never 0.
Result<std::uint64_t> checksum_of_file(int fd, const std::string& path);

// Longer files are told by size and time alone: reading them would take longer than the rest of a restore.
inline constexpr std::uint64_t kMostChecksummedFileBytes = 64 << 20;

}  // namespace stasis::image
