// What the entry point dispatches to (main.cc). Both get the stack as the kernel laid it out: argc, argv, environment,
// auxiliary vector.
#pragma once

#include "runtime/marker.h"
#include "wire/types.h"

namespace stasis::runtime {

// launch.cc: install the filter and exec once more (marker.first_launch), or load the program and jump into it.
[[noreturn]] void launch_process(u64* initial_stack, const Marker& marker);

// restore.cc: rebuild a process from the plan in marker.plan_fd. The report page is mapped, the process page started,
// g_state's runtime_path set.
[[noreturn]] void restore_process(u64* initial_stack, const Marker& marker);

// Keeps the whole window from the program's own mappings: what is not in use yet is reserved without access. Later users
// map over it with MAP_FIXED. Called when the vdso and the table of ids are in place, as mapping beside others is cheaper.
void reserve_window();

// The value of `type` in the auxiliary vector behind the environment, 0 if absent.
u64 auxiliary_value(const u64* initial_stack, u64 type);

}  // namespace stasis::runtime
