// One port of the application that is reachable at an address of the system.
#pragma once

#include <sys/socket.h>

#include "keeper/failure.h"
#include "wire/types.h"

namespace stasis::keeper {

struct Publication {
  bool datagram = false;
  sockaddr_storage address{};  // where it is reachable
  socklen_t address_bytes = 0;
  u16 port = 0;  // in the environment
};

// `tcp|udp,ADDRESS,PORT,VIRTUAL-PORT` with a numeric address.
bool parse_publication(const char* text, Publication& publication);

// A socket at its address, which does not block and, for TCP, listens. -1 and why not: a taken port, say.
int open_publication(const Publication& publication, Failure& failure);

}  // namespace stasis::keeper
