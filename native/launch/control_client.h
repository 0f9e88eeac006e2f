// The other end of the keeper's control socket (keeper/control.h).
#pragma once

#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "os/unique_fd.h"

namespace stasis::launch {

// One connection. What the keeper promises for "as long as this connection stays open" holds as long as this object
// lives.
class ControlClient {
 public:
  // The path may be longer than sockaddr_un holds. NotFound if no keeper listens there.
  static Result<ControlClient> connect(const std::string& path, Deadline deadline);

  // Sends a line (without its newline) and gives the answer (likewise). `cancel_fd` ends the wait with Cancelled when
  // it becomes readable; -1: none. Timeout when the deadline passes, Failed when the keeper ends without an answer.
  Result<std::string> request(const std::string& line, Deadline deadline, int cancel_fd = -1);

  // The connection itself, non-blocking; this object is of no use afterwards.
  int release() { return fd_.release(); }

 private:
  explicit ControlClient(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Status wait_until(short events, Deadline deadline, int cancel_fd);
  Error failed(const char* syscall, const char* doing) const;

  UniqueFd fd_;
  std::string path_;
  std::string received_;
};

}  // namespace stasis::launch
