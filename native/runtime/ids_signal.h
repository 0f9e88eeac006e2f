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

// Of an info that the program gives to the kernel: the process it names as its sender becomes a system id.
void translate_outgoing_info(SignalInfoHead* info);

// ids_signalfd.cc: sees to it that reads of a signalfd that was not made by a call of the program's tell its senders. 0 or
// -errno.
i64 watch_signalfd(u32 fd);

}  // namespace stasis::runtime
