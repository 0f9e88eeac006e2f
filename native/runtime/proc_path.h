// Where a path leads in procfs, and the path with its pids translated. The walk is by name alone: within procfs the
// only links that programs walk over are self and thread-self, which are the kernel's own affair and stay as they are.
#pragma once

#include "wire/types.h"

namespace stasis::runtime {

enum class ProcPlace : u8 {
  Elsewhere,  // a walk that is here stays here
  // Directories.
  Mount,    // the root directory
  Devices,  // /dev, for its fd
  Root,     // /proc
  Process,
  Tasks,
  Task,
  Descriptors,
  DescriptorInfos,
  Ipc,
  // Links.
  SelfLink,
  ThreadSelfLink,
  ExeLink,
  DirectoryLink,  // cwd, or an entry of fd/
  Other,          // any other name in procfs
  // Texts that hold resource ids.
  Stat,
  Status,
  Scheduling,
  Children,
  DescriptorInfo,
  Locks,
  SharedMemory,
  Semaphores,
  MessageQueues,
  // A text that holds a time.
  Uptime,
};

inline bool is_text(ProcPlace place) { return place >= ProcPlace::Stat; }
inline bool is_in_procfs(ProcPlace place) { return place >= ProcPlace::Root; }

struct ProcPosition {
  ProcPlace place;
  u32 process;        // system pid; 0: the caller's own
  u32 task;           // system tid; 0: not below task/
  i32 directory = 0;  // of a DirectoryLink: the fd, or AT_FDCWD
};

struct ProcWalk {
  ProcPosition at;
  bool changed;  // the copy differs from the path
};

// Walks `path` from `from`. The copy at `to` has system pids where the path has virtual ones. 0, or -ENOENT for a
// process that the application does not know and for the parked descriptor, or -ENAMETOOLONG.
i64 walk_virtual(const char* path, ProcPosition from, char* to, u64 capacity, ProcWalk* walk);

// The same for a path that the kernel gave, with system pids; nothing is copied.
ProcPosition walk_system(const char* path, ProcPosition from);

// A path that the kernel gave, with virtual pids. Returns the length of the text at `to`.
u64 reverse_path(const char* path, char* to, u64 capacity);

// The place of an open directory, or of the working directory (AT_FDCWD). Elsewhere if it is not on procfs.
ProcPosition position_of(i32 directory);

// True if `fd` is the number of the table's descriptor in that process, and the process is of this application.
bool is_hidden_descriptor(u32 system_pid, u64 fd);

}  // namespace stasis::runtime
