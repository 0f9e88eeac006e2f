// What sockets.cc and listeners.cc share.
#pragma once

#include <string>

#include "checkpoint/objects.h"
#include "os/unique_fd.h"

namespace stasis::checkpoint {

enum class Side { Local, Remote };

// "127.0.0.1:80", "[::1]:80", "/path", "@abstract"; empty if the socket has no name on that side.
std::string printable_name(const UniqueFd& socket, Side side);

// Shut down for reading or for writing: it polls as such.
bool is_shut_down(const UniqueFd& socket);

// A listening TCP or UNIX socket.
Status save_listener(Objects& objects, Description& description, const UniqueFd& socket, image::Image& image,
                     Findings& findings);

}  // namespace stasis::checkpoint
