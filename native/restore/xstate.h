// Extended processor state (XSAVE) between hosts: turns the area that an image holds into the one that this host's
// rt_sigreturn takes.
//
// Both are in standard format, where each component lies at an offset that the processor model fixes (cpuid leaf 0xD).
// Legacy, SSE and AVX state lie at the same place everywhere; what follows differs between vendors, and the whole is
// longer or shorter where one processor has components that the other lacks. The kernel takes no area longer than its
// own (check_xstate_in_sigframe), and ptrace gives one with room for components that need permission (AMX tiles), so
// the area is cut behind the last component in use.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace stasis::restore {

// Components of XCR0, by bit.
inline constexpr std::uint64_t kXstateLegacy = 3;  // x87 and SSE
inline constexpr std::uint64_t kXstateAvx = 4;
inline constexpr std::uint64_t kXstateTileData = 1 << 18;  // arch_prctl(ARCH_REQ_XCOMP_PERM) must be asked for it
inline constexpr int kXstateComponents = 63;

// What this host's processor and kernel use.
struct XstateLayout {
  struct Component {
    std::uint32_t offset = 0, bytes = 0;
  };
  std::uint64_t features = 0;    // XCR0
  std::uint32_t area_bytes = 0;  // all of them
  std::array<Component, kXstateComponents> components{};

  // Asks the processor once per process: under a hypervisor each question is a trap.
  static const XstateLayout& of_this_host();
};

// The area for a frame: complete with the software bytes and the second magic, followed by zeros to at least the host's
// own length, as some kernels fault in that much. `image_features` is XCR0 where the image was made. Incompatible when
// state is in use that this host has not, or keeps elsewhere; Damaged when the area is no XSAVE area in standard
// format.
Result<std::vector<std::uint8_t>> frame_xstate(std::span<const std::uint8_t> area, std::uint64_t image_features,
                                               const XstateLayout& host);

}  // namespace stasis::restore
