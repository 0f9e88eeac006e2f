#include "restore/plan_bytes.h"

#include <algorithm>

#include "base/result.h"

namespace stasis::restore {

void PlanBytes::align(std::size_t alignment) { bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment); }

std::uint64_t PlanBytes::add_string(std::string_view text) {
  text = text.substr(0, text.find('\0'));
  if (auto found = strings_.find(text); found != strings_.end()) return found->second;
  std::uint64_t offset = bytes_.size();
  bytes_.insert(bytes_.end(), text.begin(), text.end());
  bytes_.push_back(0);
  strings_.emplace(text, offset);
  return offset;
}

std::uint64_t PlanBytes::add_bytes(std::span<const std::uint8_t> bytes, std::size_t alignment) {
  align(alignment);
  std::uint64_t offset = bytes_.size();
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return offset;
}

std::uint64_t PlanBytes::add_zeros(std::uint64_t count, std::size_t alignment) {
  align(alignment);
  std::uint64_t offset = bytes_.size();
  bytes_.resize(bytes_.size() + count);
  return offset;
}

void PlanBytes::write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  STASIS_CHECK(offset <= bytes_.size() && bytes.size() <= bytes_.size() - offset);
  std::copy(bytes.begin(), bytes.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
}

}  // namespace stasis::restore
