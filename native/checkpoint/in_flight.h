// Descriptors in flight: sent over a UNIX socket (SCM_RIGHTS) and not received yet. They are open file descriptions like any other, but perhaps
// no process has a number for them.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "checkpoint/queues.h"
#include "checkpoint/subject.h"

namespace stasis::checkpoint {

class Objects;

struct UnixMessage {
  std::vector<std::uint8_t> data, from;
  std::vector<std::size_t> rights;  // indices in Objects::descriptions
};

// By the inode of the receiving socket.
using UnixQueues = std::map<std::uint64_t, std::vector<UnixMessage>>;

// Reads the queues of all UNIX sockets, while the application is stopped, and adds to `objects` what only they hold: also the
// sockets among those, and what is in their queues.
Result<UnixQueues> read_unix_queues(Objects& objects);

}  // namespace stasis::checkpoint
