// The package's version, as package.json has it (a test compares them).
#pragma once

namespace stasis::addon {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace stasis::addon
