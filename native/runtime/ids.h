// Translation of resource ids between program and kernel, for the handlers of trapped calls. The operations are those of
// the project's vocabulary: register, allocate, translate, reverse-translate, release.
//
// An application without a table (a plain first launch) has virtual == system everywhere, and none of its calls comes
// here. In code of the runtime, numbers from raw_syscall are system ids; names say which kind a variable holds.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "runtime/marker.h"
#include "runtime/state.h"
#include "wire/ids.h"
#include "wire/types.h"

namespace stasis::runtime {

// What a pid number stands for in a call: groups and sessions outlive their leader.
enum class IdFor { Process, Group, Session };

inline bool ids_on() { return g_private.ids != 0; }

inline wire::IdTableView id_table() { return {reinterpret_cast<u8*>(wire::kIdTableBase)}; }

// Maps the table in the marker's `ids` and checks its header. 0 or -errno; nothing to do without one.
i64 map_ids(const Marker& marker);

// The number at which this process holds the table's memfd, -1 without one.
i32 parked_fd();

// First launch: puts the memfd where it stays (the header says where from then on) and registers the caller. Before the
// filter. 0 or -errno.
i64 park_ids(const Marker& marker);

// The same at a given number, for a restore, without registering anybody. What was open there is closed. 0 or -errno.
i64 park_ids_at(i32 fd, u32 number);

// Reverse-translates. 0 and 1 stay. A stranger to the application is registered, as foreign. 0 if there is no number
// left for it, as the kernel answers for a process that a namespace does not show.
u32 virtual_of(u32 system_pid, IdFor what = IdFor::Process);

// The same for an id of the caller itself, which needs no confirmation.
u32 virtual_of_own(u32 system_id);

// What getpid(2) answers.
u32 own_virtual_pid();

// Translates. 0 and 1 stay; -ESRCH for a number the application does not know.
i64 system_of(i32 virtual_pid, IdFor what = IdFor::Process);

// For kill(2) and its like: > 0 a process (verified), < -1 a group, 0 and -1 stay. False if the application does not know
// it.
bool system_target(i32 virtual_target, i32* system_target);

// As system_of, for calls that act on the process: when the entry has not been confirmed for some seconds, its start time in
// /proc is compared, so that a number the kernel has given to somebody else since is not hit.
i64 verified_system_of(i32 virtual_pid);

// A call's result that is a pid: > 0 translated, everything else as it is.
inline i64 virtual_result(i64 result, IdFor what = IdFor::Process) {
  return result > 0 ? virtual_of(static_cast<u32>(result), what) : result;
}

// CLOCK_BOOTTIME of the host in the table's unit.
u32 stamp_now();

// Allocates for a task born after `born` (a stamp taken before the clone). Parent and child may both call it, in any
// order, and get the same virtual id.
u32 bind_birth(u32 system_tid, u32 flags, u32 born);

// After a wait that reaped the process, or at a thread's exit: releases its id.
void mark_ended(u32 system_pid);

// For a call that may have blocked: translates its result and what the kernel has written to the program's memory. The
// arguments are those in the program's registers, which are still virtual. Called once for each call that has returned:
// by its handler, or on the way into a signal's handler that interrupted the return (signals.cc, roll_back).
i64 complete_call(const arch::KernelUcontext& program, i64 result);

// Translates siginfo_t in place, in a frame or anywhere in the runtime's memory.
void translate_info(void* info);

}  // namespace stasis::runtime
