// Ids of other kinds than processes: SysV ipc (of the application, as its processes share them) and POSIX timers (of the
// calling process). They are objects of the table (ids_objects.h).
#pragma once

#include "wire/ids.h"
#include "wire/types.h"

namespace stasis::runtime {

// Reverse-translates; an id that the application meets for the first time is registered. -ENOSPC if the table is full.
i64 virtual_object(wire::IdKind kind, i32 system_id);

// Translates. -EINVAL for an id that the application does not know.
i64 system_object(wire::IdKind kind, i32 virtual_id);

// For a restore: what was `virtual_id` in the image is `system_id` now. False if the table is full or has another one of that name.
bool place_object(wire::IdKind kind, i32 virtual_id, i32 system_id);

// The object is gone.
void release_object(wire::IdKind kind, i32 virtual_id);

// A clock id that names a process or thread (clock_getcpuclockid(3)), translated; others as they are. -EINVAL for an
// unknown one; clock ids are negative too, so the answer is in *system_clock.
i64 translate_clock(i32 virtual_clock, i32* system_clock);  // ids_timer.cc

}  // namespace stasis::runtime
