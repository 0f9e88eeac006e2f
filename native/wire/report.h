// What went wrong inside the runtime, told to the host through one shared page. The runtime fills the report once, sets state last and
// ends; the host turns step and errno into words (restore/report.cc).
#pragma once

#include "wire/types.h"

namespace stasis::wire {

enum class Step : u32 {
  None = 0,
  // launch
  ParseMarker,
  InstallFilter,
  OpenProgram,      // subject: none; text = path
  LoadProgram,      // text = path
  OpenInterpreter,  // ld.so named by PT_INTERP; text = path
  LoadInterpreter,
  ExecProgram,  // text = path
  // restore, in order
  MapPlan,
  OpenFile,       // text = path, subject = index into Plan::files
  CheckFile,      // the file opened is not the one verified; text = path
  MoveVdso,       // subject = address
  ClearMemory,    // munmap outside the window
  MapMemory,      // subject = address, extent = bytes, text = path of a file mapping
  ReadPages,      // subject = address, extent = bytes
  ProtectMemory,  // subject = address
  AdviseMemory,   // subject = address
  SetMemoryMap,   // prctl(PR_SET_MM_MAP)
  SetAction,      // subject = signal number
  InstallHandler,
  RaiseFdLimit,
  ParkFd,      // subject = fd number in the image
  CreatePipe,  // from here on: subject = fd number in the image
  FillPipe,
  CreateSocketPair,
  FillSocketPair,
  CreateEventfd,
  CreateTimerfd,
  SetTimerfd,
  CreateEpoll,
  AddToEpoll,
  CreateSocket,
  BindSocket,    // text = printable address
  ListenSocket,  // text = printable address
  PlaceFd,
  SetCwd,          // text = path
  SetItimer,       // subject = which
  CreateThread,    // subject = thread id in the image
  RegisterRseq,    // subject = thread id in the image
  QueueSignal,     // subject = signal number
  LockMemory,      // subject = address, extent = bytes; after ProtectMemory
  OpenDescriptor,  // an open file of the program: subject = fd number in the image, text = path; after ParkFd
  MapIds,          // the translation table; subject = fd
  PlaceId,         // subject = virtual id
  CreateTimer,     // subject = id of the POSIX timer
  SetCredentials,  // subject = effective user or group id
  MakeTask,        // subject = virtual id of the process, or of the leader that a helper stands for
  SetSession,
  SetGroup,        // subject = virtual id of the group
  MakeSegment,     // shared memory; text = its name, extent = bytes
  FillSegment,     // likewise
  Meet,            // another process of the application died while it was rebuilt
  ConnectSocket,   // text = printable address
  MakeIpc,         // subject = id of the System V object, extent = key
  MakeQueue,       // subject = fd number in the image, text = name
  CreateSignalfd,  // subject = fd number in the image
  OpenPidfd,       // subject = fd number in the image
  MakeTerminal,    // subject = fd number in the image
  AddWatch,        // subject = fd number in the image, text = path
  SetLock,         // subject = fd number in the image, text = path
  TakeConnection,  // subject = fd number in the image, text = printable addresses
  Count
};

enum class ReportState : u32 { Pending = 0, Failed = 1, Done = 2, Failing = 3 };

struct Report {
  u32 state;    // ReportState, stored last with release order; Failing is not to be seen by a host for long
  u32 step;     // Step
  i32 error;    // positive errno
  i32 process;  // which process of several failed: its id as the program knows it; 0 for the only one
  u64 subject;
  u64 extent;
  char text[1024];  // path or address where one belongs to the step, NUL-terminated
  // nanoseconds of CLOCK_MONOTONIC at the end of each phase of a restore, for `restore --json` and the benchmark
  u64 started_ns, mapped_ns, fds_ns, threads_ns, resumed_ns;
  u64 map_calls;
  u64 populated_pages;  // of the working set; 0 from runtimes that do not know it
};

static_assert(sizeof(Report) <= 4096);

}  // namespace stasis::wire
