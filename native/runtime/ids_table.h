// The operations on a translation table (wire/ids.h has its layout and rules): bind, find, release, place and reserve pids;
// put, find and remove objects. Pure: no system calls and no state but the table, wherever it is mapped, so the unit
// tests hammer the very code that runs in programs. Stamps are wire::id_stamp of the host's CLOCK_BOOTTIME.
//
// Any number of threads of any number of processes may be in here at once, and each may be killed anywhere.
#pragma once

#include "wire/ids.h"
#include "wire/types.h"

namespace stasis::runtime {

// For a caller that does not know when the task was born.
inline constexpr u32 kAnyAge = 0;

// True if the header of a table of this version is undamaged.
bool check_header(const wire::IdTableHeader& header);

wire::ForwardWord forward_word(const wire::IdTableView& table, u32 virtual_pid);

// The system id of a live entry; 0: none.
u32 find_system(const wire::IdTableView& table, u32 virtual_pid);

// The virtual id whose entry is in `state` and stands for this system id; 0: none.
u32 find_virtual(const wire::IdTableView& table, u32 system_pid, wire::IdState state = wire::IdState::Live);

// Whether a process group of that system number has members; the table needs it to give numbers away again.
using HasGroup = bool (*)(u32 system_group);

struct Birth {
  u32 system_pid;
  u32 flags;  // wire::kIdThread, kIdForeign
  u32 born;   // a stamp taken before the task was made; kAnyAge: an entry of any age is its own
  u32 now;
};

// The task's virtual id, allocated if it has none: system + shift where that number is free. Parent and child call it
// for the same birth, in any order or at once, and get the same answer, even if the task has ended meanwhile. 0 if
// every number is taken.
u32 bind_pid(const wire::IdTableView& table, const Birth& birth, HasGroup has_group);

// The task has ended: its number stays known for its process group, and is given away again later.
void release_pid(const wire::IdTableView& table, u32 virtual_pid, u32 system_pid, u32 now);

// Restore: gives `virtual_pid`, reserved or free, to a task. False if it is another live task's.
bool place_pid(const wire::IdTableView& table, u32 virtual_pid, u32 system_pid, u32 flags, u32 now);

// Restore: a number of the image, which nobody else is given.
void reserve_pid(const wire::IdTableView& table, u32 virtual_pid);

// Notes that the entry's system id has just been seen to be this task.
void refresh_pid(const wire::IdTableView& table, u32 virtual_pid, u32 system_pid, u32 now);

// Restore, before the program runs: a group or session whose leader is not in the image. Several helpers may do so at once. False if
// there is no room.
bool add_override(const wire::IdTableView& table, wire::IdKind kind, u32 virtual_id, u32 system_id);

// 0: none.
u32 override_system(const wire::IdTableView& table, wire::IdKind kind, u32 virtual_id);
u32 override_virtual(const wire::IdTableView& table, wire::IdKind kind, u32 system_id);

}  // namespace stasis::runtime
