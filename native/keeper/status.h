// The status file: what the application is doing, as `key=value` lines in `status` in its directory. Replaced by
// rename, so that a reader sees one state whole.
#pragma once

#include <sys/types.h>

#include "wire/types.h"

namespace stasis::keeper {

enum class State { Starting, Running, Exited, Signaled, Checkpointed };

struct ApplicationStatus {
  State state = State::Starting;
  pid_t pid = 0;
  u64 start = 0;  // field 22 of /proc/PID/stat
  pid_t keeper = 0;
  u64 keeper_start = 0;
  int code = 0;               // Exited
  int signal = 0;             // Signaled, Checkpointed
  i64 ended_ms = 0;           // since the epoch; 0 while it runs
  const char* snapshot = "";  // Checkpointed
};

// Writes the lines of `status`; `capacity` bytes are enough with a snapshot path of PATH_MAX and 512 more. Returns the
// length.
int format_status(const ApplicationStatus& status, char* text, int capacity);

class StatusFile {
 public:
  // `directory` stays the caller's.
  explicit StatusFile(int directory) : directory_(directory) {}

  // Writes the content beside the file; publish() puts it in place. Two steps, because the first can be done while the
  // runtime works.
  bool prepare(const ApplicationStatus& status);
  bool publish();
  bool write(const ApplicationStatus& status) { return prepare(status) && publish(); }
  void remove();

 private:
  int directory_;
};

// Start time of a process in clock ticks since boot, 0 if it cannot be had.
u64 start_time_of(pid_t pid);

}  // namespace stasis::keeper
