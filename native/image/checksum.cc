// The only file that includes zstd's xxhash.h. XXH_INLINE_ALL makes every function of it static, so nothing clashes
// with another copy of the library in the same process.
#include "image/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "image/image.h"
#include "os/file.h"

namespace stasis::image {

static_assert(sizeof(XXH64_state_t) == 88 && alignof(XXH64_state_t) <= 8, "StreamingChecksum has room for the state");

namespace {

XXH64_state_t* state_of(std::byte* bytes) { return reinterpret_cast<XXH64_state_t*>(bytes); }

}  // namespace

void StreamingChecksum::reset() { XXH64_reset(state_of(state_), 0); }

void StreamingChecksum::update(std::span<const std::uint8_t> bytes) {
  if (!bytes.empty()) XXH64_update(state_of(state_), bytes.data(), bytes.size());
}

std::uint64_t StreamingChecksum::value() const { return XXH64_digest(reinterpret_cast<const XXH64_state_t*>(state_)); }

std::uint64_t checksum(std::span<const std::uint8_t> bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

Result<std::uint64_t> checksum_of_file(int fd, const std::string& path) {
  constexpr std::size_t kChunkBytes = 256 << 10;
  std::vector<std::uint8_t> bytes(kChunkBytes);
  StreamingChecksum sum;
  std::size_t got = kChunkBytes;
  for (std::uint64_t at = 0; got == kChunkBytes; at += got) {
    got = STASIS_TRY(read_at(fd, bytes, at, path));
    sum.update({bytes.data(), got});
  }
  return std::max<std::uint64_t>(sum.value(), 1);
}

}  // namespace stasis::image
