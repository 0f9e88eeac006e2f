// The program that filter.cc installs, made of the table in filter_calls.h. No kernel calls, so that its decisions can be
// tested on the host.
#pragma once

#include <linux/filter.h>

#include "wire/types.h"

namespace stasis::runtime::filter {

inline constexpr u32 kMaxLength = 1200;

struct Program {
  sock_filter code[kMaxLength];
  u32 length;
};

// Writes the program of these parts (wire/parts.h), one at least. `parked_fd` is the number of the table's descriptor.
// False if it is too long, which depends on the table of calls alone.
bool write_program(u32 parts, i32 parked_fd, Program& program);

}  // namespace stasis::runtime::filter
