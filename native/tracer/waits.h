// How much is left of the waits that a checkpoint interrupts (wire/waits.h has the calls).
//
// The kernel tells of a sleep only that it was interrupted: nanosleep(2) and clock_nanosleep(2) write what is left where the program
// asked for it, select(2) and its kin where the time stood. For the others it is worked out from when the thread went to sleep. That
// stands in /proc/PID/task/TID/sched, as the time of the thread's processor at which it last ran; another thread, put on the same
// processor, tells what that clock shows now. It does not count what the host of a virtual machine took away, and a thread that was woken
// in between and went to sleep again looks younger: so what is found is never less than what is left, and a wait never ends too early.
//
// look() comes before the stop, while the threads sleep undisturbed; left_of() at the stop. A thread that has made another call
// in between, as the count of its sleeps tells, has all of its time left.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "os/process_memory.h"
#include "tracer/quiesce.h"

namespace stasis::tracer {

class Waits {
 public:
  // Of every thread of the processes, as far as /proc tells.
  void look(const std::vector<pid_t>& processes);

  // ns, at least 1; 0 where the call is none of these, has no end, or where nothing is known but that it has begun. For a thread
  // that has not moved since it was settled.
  std::uint64_t left_of(pid_t pid, const SettledThread& thread, const ProcessMemory& memory) const;

 private:
  struct Seen {
    long call = -1;
    std::array<std::uint64_t, 6> arguments{};
    std::uint64_t stack = 0, at = 0;
    std::uint64_t sleeps = 0;
    std::int64_t began_ns = 0;  // or later
  };
  std::map<pid_t, Seen> seen_;
};

}  // namespace stasis::tracer
