// Facts about UNIX and TCP sockets that no socket option tells: NETLINK_SOCK_DIAG, sock_diag(7). Works without privilege,
// within the caller's network namespace.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <vector>

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
  // Of a listening socket: inodes of the sockets whose connections wait to be accepted, first come first.
  std::vector<std::uint64_t> waiting;
  std::uint64_t file_inode = 0;  // the file that a path name made, 0 without one
};

// A TCP socket that is found by its addresses; it may belong to nobody yet (not accepted) or any more (closed).
struct TcpSocketFacts {
  std::uint32_t state = 0;  // TCP_ESTABLISHED 1 ... (include/net/tcp_states.h)
  std::uint64_t inode = 0;  // 0: no descriptor leads to it
  std::uint32_t receive_queue = 0, send_queue = 0;
};

class SocketDiagnosis {
 public:
  static Result<SocketDiagnosis> open();
  // NotFound if there is no UNIX socket of that inode.
  Result<UnixSocketFacts> unix_socket(std::uint64_t inode) const;
  // The TCP socket, in this network namespace, whose own address is `local` and whose peer's is `remote`: both AF_INET or
  // both AF_INET6. NotFound if there is none.
  Result<TcpSocketFacts> tcp_socket(const sockaddr_storage& local, const sockaddr_storage& remote) const;

 private:
  explicit SocketDiagnosis(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<std::vector<unsigned char>> ask(const void* request, std::size_t bytes, std::size_t least) const;

  UniqueFd fd_;
};

}  // namespace stasis
