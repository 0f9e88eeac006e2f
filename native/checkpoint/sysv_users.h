// Who uses a System V object besides the application: as much as the kernel tells.
//
//   segments     how often they are attached (shm_nattch), which is exact
//   semaphores   who changed each last (GETPID), how many wait (GETNCNT, GETZCNT)
//   queues       who sent and who received last; who waits in msgrcv(2) nobody tells
//
// So whoever has only asked for an object and done nothing with it, or whose doings a member's have covered, is not seen.
#pragma once

#include <sys/msg.h>
#include <sys/sem.h>

#include <string>
#include <vector>

#include "checkpoint/objects.h"

namespace stasis::checkpoint {

struct ObjectUsers {
  std::vector<pid_t> last;    // of this pid namespace; 0: nobody, or one who cannot be seen from here
  std::int64_t last_s = 0;    // no operation was later, seconds since the epoch
  int semaphores_id = -1;     // whose semaphores ...
  std::uint64_t waiting = 0;  // ... so many threads wait for

  // Who of them is outside, as the end of a sentence: "process 12 has used"; empty if nobody is seen.
  std::string outsider(Members members) const;
};

ObjectUsers users_of(int id, const semid_ds& description);
ObjectUsers users_of(const msqid_ds& description);

}  // namespace stasis::checkpoint
