// Parts of a restore plan (wire/plan.h) about what a process is allowed, how it is scheduled, and its timers.
#pragma once

#include "wire/types.h"

namespace stasis::wire {

inline constexpr u32 kResources = 16;

// POSIX timer. Ids are those the program knows.
struct TimerEntry {
  i32 id;
  i32 clock;
  u32 notify;  // SIGEV_SIGNAL 0, SIGEV_NONE 1, SIGEV_THREAD_ID 4
  u32 signal;
  u64 value;
  i32 thread;    // 0: the process
  u32 waits;     // 1: its signal is queued ...
  u64 overruns;  // ... and stands for so many expirations beyond the first
  i64 interval_ns;
  i64 remaining_ns;  // 0: at rest
};

// Threads that are not listed keep what the process has inherited.
struct SchedulingEntry {
  u32 thread;  // index into Plan::threads
  u32 policy;
  u64 flags;
  i32 nice;
  u32 priority;
  u64 runtime, deadline, period;
  u64 affinity, affinity_bytes;  // offset; 0: all processors
  u64 timer_slack_ns;            // 0: as inherited
  u32 io_priority;
  u32 reserved;
};

// Everything is set as far as it is allowed, but for users and groups, which are set or the restore fails.
struct SettingsEntry {
  u64 limits[kResources][2];  // soft, hard
  i32 oom_score_adj;
  u32 personality;
  u64 coredump_filter;
  u32 set_limits;  // 1: the fields above count
  u32 dumpable;
  u32 parent_death_signal;
  u32 subreaper;
  u32 set_credentials;   // 1: the fields below count
  u32 set_groups;        // 1: `groups` too
  u32 uids[4], gids[4];  // real, effective, saved, file system
  u64 groups, group_count;
  u64 capabilities[5];  // inheritable, permitted, effective, bounding, ambient
  u32 securebits;
  u32 no_new_privs;
};

// A System V object, made by the first process. `id` is what the program knows it by.
enum class IpcKind : u32 { Segment = 1, Semaphores, MessageQueue };

struct IpcEntry {
  IpcKind kind;
  u32 mode;
  i32 id, key;
  u32 uid, gid;
  u64 bytes;          // of a segment; the most of a queue
  u64 pieces, count;  // SegmentPiece of a segment; u16 values of a set; IpcMessage of a queue
};

struct IpcMessage {
  i64 type;  // priority in a POSIX queue
  u64 text, bytes;
};

inline constexpr u32 kQueueUnlinked = 0x10000;  // bits of FdEntry::option of a POSIX queue, above its mode
// Bits of FdEntry::option of a terminal's master.
inline constexpr u32 kTerminalLocked = 1;
inline constexpr u32 kTerminalPacket = 2;
inline constexpr u32 kTerminalHungUp = 4;

// FdPlacement::kind
inline constexpr u32 kPlacedSignalfd = 1;

// What a process has yet to undo at its end.
struct UndoEntry {
  i32 id;
  u32 number;
  i64 adjustment;
};

// A segment to be removed once everybody has attached it.
struct RemovedSegment {
  i32 id;
};

struct PidfdEntry {
  i32 fd;
  u32 close_on_exec;
  i32 pid;  // 0: of a process that has ended
  u32 flags;
};

// A seccomp filter of the program's own.
struct FilterEntry {
  u32 flags;
  u32 length;   // instructions
  u64 program;  // offset
};

}  // namespace stasis::wire
