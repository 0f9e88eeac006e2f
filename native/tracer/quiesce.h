// Bringing every thread of a stopped session to a place where its context is the program's own.
//
//                        +------------------- sent on: to the next call, for a short while, or with its signal <------+
//                        v |
//   stop --> SIGSYS of the seccomp filter queued, or about to be delivered
//   ---------------------------------------------+
//        --> in the host's vdso or the runtime's vdso page (plain functions: no call would stop it) -- a short while
//        ---+
//        --> in the runtime's text, but not in the blocking window ------------------------------- to the next call
//        ----+
//        --> in the blocking window: [begin, call], or just behind the call and interrupted, or about to enter it -->
//        settled, InWindow
//        --> anywhere else ----------------------------------------------------------------------------------------->
//        settled, Outside
//
// Letting a thread run on instead of undoing its trap costs a few stops but changes no register, so it is safe whenever
// this process may die; and since it stops at every call, the exit of the handler's rt_sigreturn is seen even if the
// program traps again at once. A thread that makes no call for a while is interrupted and looked at again. Threads run
// on together: one may wait for another.
//
// A call that answered EINTR because of the stop is rewound at once (tracer/rewind.h), so that a release at any later
// point is right.
#pragma once

#include <sys/user.h>

#include <vector>

#include "os/process_memory.h"
#include "tracer/rewind.h"
#include "tracer/session.h"
#include "wire/descriptor.h"

namespace stasis::tracer {

enum class Place { Outside, InWindow };

struct SettledThread {
  Tracee* tracee = nullptr;
  user_regs_struct registers{};  // as ptrace gives them
  long call = -1;                // the program's own interrupted call, -1 for none; not restart_syscall
  Place place = Place::Outside;
  Interruption interruption = Interruption::None;
};

// Every thread of the session, stopped or not, in the order of Session::threads(). `caught`: signals with a handler (SigCgt). Busy if the process
// replaces its program meanwhile, Timeout naming the thread that does not come out, NotFound if the process ended.
Result<std::vector<SettledThread>> quiesce(Session& session, const ProcessMemory& memory,
                                           const wire::Descriptor& runtime, std::uint64_t caught, Deadline deadline,
                                           const CancelToken& cancel);

// For Session::seize: rewinds a call that ended only because of the stop, while the thread stands in it.
Session::AtStop rewinding(std::uint64_t caught);

// Where a stopped thread is, by its rip alone.
enum class Region { Outside, Vdso, Runtime, WindowBeforeCall, WindowAfterCall };
Region region_of(const wire::Descriptor& runtime, std::uint64_t rip);

}  // namespace stasis::tracer
