#include "restore/xstate.h"

#include <cpuid.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "arch/x86_64/sigframe.h"

namespace stasis::restore {

namespace {

constexpr std::size_t kXcompOffset = arch::kXsaveHeaderOffset + 8;  // XCOMP_BV: not 0 means compacted format
constexpr std::uint32_t kMxcsrOffset = 24;
constexpr std::uint32_t kMxcsrKnownBits = 0xffff;

const char* name_of_component(int bit) {
  switch (bit) {
    case 2:
      return "AVX";
    case 3:
    case 4:
      return "MPX";
    case 5:
    case 6:
    case 7:
      return "AVX-512";
    case 9:
      return "memory protection keys";
    case 17:
    case 18:
      return "AMX";
    default:
      return "unknown";
  }
}

template <typename T>
T load(std::span<const std::uint8_t> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <typename T>
void store(std::vector<std::uint8_t>& bytes, std::size_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

std::uint64_t read_xcr0() {
  std::uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
}

Error not_here(int bit, const char* what) {
  return Error::plain(
      ErrorKind::Incompatible,
      std::string(name_of_component(bit)) + " state (component " + std::to_string(bit) + ") is in use, which " + what,
      "restore on a host with a processor like the one of the checkpoint");
}

// Whether components behind AVX lie in an area of that length where this host keeps them: the length tells the vendors'
// layouts apart once the components are known.
bool keeps_layout(std::size_t area_bytes, std::uint64_t image_features, const XstateLayout& host) {
  if (image_features == 0) return area_bytes == host.area_bytes;
  if ((image_features & ~host.features) != 0) return false;
  std::size_t expected = arch::kXsaveMinBytes;
  for (int bit = 2; bit < kXstateComponents; ++bit) {
    const auto& component = host.components[bit];
    if ((image_features >> bit & 1) != 0)
      expected = std::max<std::size_t>(expected, component.offset + component.bytes);
  }
  return area_bytes == expected;
}

XstateLayout ask() {
  XstateLayout layout;
  std::uint32_t a, b, c, d;
  constexpr std::uint32_t kOsxsave = 1 << 27;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kOsxsave) == 0) {
    layout.features = kXstateLegacy;
    layout.area_bytes = arch::kXsaveMinBytes;
    return layout;
  }
  layout.features = read_xcr0();
  layout.area_bytes = arch::kXsaveMinBytes;
  for (int bit = 2; bit < kXstateComponents; ++bit) {
    if ((layout.features >> bit & 1) == 0) continue;
    __cpuid_count(0xd, bit, a, b, c, d);
    layout.components[bit] = {.offset = b, .bytes = a};
    layout.area_bytes = std::max(layout.area_bytes, a + b);
  }
  return layout;
}

}  // namespace

const XstateLayout& XstateLayout::of_this_host() {
  static const XstateLayout layout = ask();
  return layout;
}

Result<std::vector<std::uint8_t>> frame_xstate(std::span<const std::uint8_t> area, std::uint64_t image_features,
                                               const XstateLayout& host) {
  if (area.size() < arch::kXsaveMinBytes) return Error::plain(ErrorKind::Damaged, "the XSAVE area is too short");
  const auto in_use = load<std::uint64_t>(area, arch::kXsaveHeaderOffset);
  if (load<std::uint64_t>(area, kXcompOffset) != 0)
    return Error::plain(ErrorKind::Damaged, "the XSAVE area is in compacted format");
  if ((load<std::uint32_t>(area, kMxcsrOffset) & ~kMxcsrKnownBits) != 0) {
    return Error::plain(ErrorKind::Damaged, "the XSAVE area has no possible MXCSR");
  }
  const bool same_layout = keeps_layout(area.size(), image_features, host);
  std::uint32_t bytes = arch::kXsaveMinBytes;
  for (int bit = 2; bit < 64; ++bit) {
    if ((in_use >> bit & 1) == 0) continue;
    if (bit >= kXstateComponents || (host.features >> bit & 1) == 0)
      return not_here(bit, "this processor or kernel has not");
    if ((kXstateTileData >> bit & 1) != 0) return not_here(bit, "Stasis cannot put back");
    if ((kXstateAvx >> bit & 1) == 0 && !same_layout) return not_here(bit, "this processor keeps at another place");
    const auto& component = host.components[bit];
    bytes = std::max(bytes, component.offset + component.bytes);
  }
  if (bytes > area.size()) return Error::plain(ErrorKind::Damaged, "the XSAVE area ends before a component in use");

  std::vector<std::uint8_t> frame(std::max<std::size_t>(bytes + sizeof arch::kFrameMagic2, host.area_bytes + 64));
  std::copy_n(area.begin(), bytes, frame.begin());
  // The rest of the header is reserved and must be zero (XRSTOR faults).
  std::fill(frame.begin() + kXcompOffset, frame.begin() + arch::kXsaveMinBytes, 0);
  const arch::FrameSoftwareBytes software = {.magic1 = arch::kFrameMagic1,
                                             .extended_bytes = bytes + static_cast<u32>(sizeof arch::kFrameMagic2),
                                             .features = in_use | kXstateLegacy,
                                             .xstate_bytes = bytes,
                                             .padding = {}};
  store(frame, arch::kFrameSoftwareOffset, software);
  store(frame, bytes, arch::kFrameMagic2);
  return frame;
}

}  // namespace stasis::restore
