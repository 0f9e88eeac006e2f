// A working-set file, `verified/DEVICE-INODE.written` of the state directory: which pages of an image a program wrote soon
// after it was restored. The keeper writes it (keeper/working_set.h), later restores read it (restore/working_set.cc),
// which trust no byte of it. Behind the header lie the ranges, ascending; nothing follows.
#pragma once

#include "wire/plan.h"
#include "wire/types.h"

namespace stasis::wire {

inline constexpr u64 kWorkingSetMagic = 0x3174657377737473;
// Half of the pages that a Node server writes before its first reply lie alone. More than these are not worth their
// memory: what is populated is the program's for good.
inline constexpr u64 kWorkingSetMaxRanges = 1024;
inline constexpr u64 kWorkingSetMaxPages = 2048;

struct WorkingSetHeader {
  u64 magic;
  u64 count;        // of ranges
  char stamp[240];  // of the page file, as in its stamp (image/files.h), padded with zeros
};

static_assert(sizeof(WorkingSetHeader) == 256);

}  // namespace stasis::wire
