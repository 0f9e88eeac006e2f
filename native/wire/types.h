// Fixed-width names used in wire/, arch/ and runtime/, where no C++ library may be assumed.
#pragma once

namespace stasis {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long;
using i32 = int;
using i64 = long;

static_assert(sizeof(u64) == 8 && sizeof(u32) == 4 && sizeof(u16) == 2, "LP64 expected");

}  // namespace stasis
