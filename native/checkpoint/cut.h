// The instant of a checkpoint: every process of the application held at once, each outside the runtime, and nobody missing.
//
//     stop all that are known, parents first ---> children of the stopped, orphans: anybody new? --yes--+
//                        ^                              | no                                           |
//                        +------------------------------|----------------------------------------------+
//                        ^                              v
//                        |              bring them out of the runtime, which may end in a birth:
//                        +--- somebody new ---  look once more  ---- nobody new ---> the instant
//
// A process that is stopped bears none, so a round without a newcomer is the last. Nothing of the state is read before.
//
// A thread in vfork(2) cannot be stopped before its child has executed a program or ended, and its child must not be stopped
// before, nor seized: it would stop at its next signal. Then, and when a process executes another program at the very moment, all are let go, and it is tried again a
// little later, until the deadline.
#pragma once

#include <functional>

#include "base/deadline.h"
#include "checkpoint/tree.h"

namespace stasis::checkpoint {

// Fills tree.members (newcomers have no earlier_maps; those who have ended are gone from it) and tree.zombies. `begun` is
// the time at which the first process of the successful attempt was stopped. `look_again` is called between attempts
// if a process has executed another program. Errors: Timeout and Busy when the deadline has passed; NotFound if the first
// process has ended.
Status cut(Tree& tree, Deadline deadline, const std::function<Status()>& look_again,
           Deadline::Clock::time_point& begun);

}  // namespace stasis::checkpoint
