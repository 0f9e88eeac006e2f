// The table's memfd between two programs of one process: it stays open at one number, the same in every process of the
// application, that the program cannot see or touch (ids_fd.cc, filter_calls.h).
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

// Before an exec through the runtime: makes sure that the next runtime finds a sound table at the parked number. If the
// memfd is not there any more it is taken from the keeper. 0, -ENOEXEC for a damaged table or -EACCES for a lost one.
i64 prepare_parked_ids();

// Before an exec that starts another application (a keeper inside this one): the memfd is not for it.
void withhold_ids();

}  // namespace stasis::runtime
