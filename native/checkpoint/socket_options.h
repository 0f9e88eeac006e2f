// Options of a socket that the program has changed: those whose values differ from a fresh socket's of the same kind.
#pragma once

#include <vector>

#include "base/result.h"
#include "image/records_sockets.h"
#include "os/unique_fd.h"

namespace stasis::checkpoint {

struct SocketKind {
  int family = 0, type = 0, protocol = 0;
};

Result<int> socket_option(const UniqueFd& socket, int level, int name);

// In the order in which a restore sets them.
Result<std::vector<image::SocketOption>> changed_options(const UniqueFd& socket, const SocketKind& kind);

}  // namespace stasis::checkpoint
