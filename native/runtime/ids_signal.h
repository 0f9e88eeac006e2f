// The part of siginfo_t that carries an id.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

struct SignalInfoHead {
  i32 signal;
  i32 error;
  i32 code;
  i32 padding;
  i32 pid;  // or the timer's id, or something else: by signal and code
  u32 uid;
};
static_assert(sizeof(SignalInfoHead) == 24);

}  // namespace stasis::runtime
