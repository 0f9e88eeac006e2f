#include "checkpoint/copy_room.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

namespace stasis::checkpoint {

CopyRoom::~CopyRoom() {
  for (const Area& area : areas_) ::munmap(area.start, area.bytes);
}

bool CopyRoom::add(std::uint64_t bytes, bool populated) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (populated ? MAP_POPULATE : 0);
  void* start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (start == MAP_FAILED) return false;
  areas_.push_back({static_cast<std::uint8_t*>(start), bytes, 0});
  return true;
}

void CopyRoom::prepare(std::uint64_t bytes) {
  std::uint64_t have = 0;
  for (const Area& area : areas_) have += area.bytes;
  const std::uint64_t wanted = std::min(bytes, kMostBytes);
  if (wanted > have) (void)add(wanted - have, true);
}

Result<std::span<std::uint8_t>> CopyRoom::take(std::uint64_t bytes) {
  if (bytes == 0) return std::span<std::uint8_t>();
  const auto fits = [bytes](const Area& area) { return area.bytes - area.used >= bytes; };
  auto area = std::find_if(areas_.begin(), areas_.end(), fits);
  if (area == areas_.end()) {
    if (!add(bytes, false)) return Error::of_errno("mmap", "making room for the copy of shared memory");
    area = areas_.end() - 1;
  }
  const std::span<std::uint8_t> result{area->start + area->used, bytes};
  area->used += bytes;
  return result;
}

}  // namespace stasis::checkpoint
