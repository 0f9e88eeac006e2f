// Facts about UNIX sockets that no socket option tells: NETLINK_SOCK_DIAG, sock_diag(7). Works without privilege,
// within the caller's network namespace.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "os/unique_fd.h"

namespace stasis {

struct UnixSocketFacts {
  bool listening = false;
  std::optional<std::uint64_t>
      peer;  // inode of the connected peer; 0: connected once, and the peer is closed or not accepted yet
  std::uint32_t queued = 0;    // as UNIX_DIAG_RQLEN: bytes to read, or connections to accept
  std::uint32_t backlog = 0;   // of a listening socket
  std::uint32_t shutdown = 0;  // RCV_SHUTDOWN 1, SEND_SHUTDOWN 2
};

class SocketDiagnosis {
 public:
  static Result<SocketDiagnosis> open();
  // NotFound if there is no UNIX socket of that inode.
  Result<UnixSocketFacts> unix_socket(std::uint64_t inode) const;

 private:
  explicit SocketDiagnosis(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace stasis
