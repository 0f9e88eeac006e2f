// The parts of the seccomp filter: what an application traps, chosen once at its launch or restore and inherited by all
// its descendants. Bits of the marker's `parts` (wire/launch.h) and of the translation table's header.
#pragma once

#include "wire/types.h"

namespace stasis::wire {

inline constexpr u32 kPartBase = 1;      // what interposition always needs
inline constexpr u32 kPartRestored = 2;  // clocks with an offset, advice on memory that comes from an image
inline constexpr u32 kPartIds = 4;       // calls that carry resource ids: with a translation table
inline constexpr u32 kPartNet = 8;       // addresses and ports of an environment
inline constexpr u32 kPartNoSites = 16;  // no part of the filter: call sites stay as they are (runtime/sites.h)

constexpr u32 sites_part(bool fast_path) { return fast_path ? 0 : kPartNoSites; }

}  // namespace stasis::wire
