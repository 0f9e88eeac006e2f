// TCP connections whose peers are outside the application, while it is saved.
//
// Their state is read in the kernel's repair mode (os/tcp_repair.h), a moment in which the program could not read from them; it is
// stopped then. If it is to go on, that is all. If it is ended, its sockets are first closed to packets by a filter, so that nothing
// arrives that the image has not, and a holder (keeper/holder.h) keeps them open: nothing is sent to the peers, to whom it looks as if
// packets were lost, until a restore on this host takes the sockets over or the holder's time is over.
//
// The holder is started before anything is done to a socket. If this process is killed, it undoes that.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "image/image.h"
#include "launch/holder.h"
#include "os/tcp_repair.h"
#include "os/unique_fd.h"

namespace stasis::checkpoint {

class OutsideConnections {
 public:
  explicit OutsideConnections(const Options& options) : options_(options), ends_(!options.leave_running) {}
  // The connections are as they were, unless hold() has succeeded.
  ~OutsideConnections() { let_go(); }
  OutsideConnections(const OutsideConnections&) = delete;
  OutsideConnections& operator=(const OutsideConnections&) = delete;

  // Starts the holder, which takes a millisecond, unless there is one.
  Status prepare();

  // Of a stopped application. `socket` is kept open until the end.
  Result<TcpConnectionState> save(UniqueFd socket, image::KeptConnection& record);

  // The image is committed: from here on, if this process is killed, the connections are held as soon as the application has
  // ended. `application`: a pidfd.
  Status before_end(const image::Header& header, const UniqueFd& application);
  // The application has ended.
  Status hold();

  void let_go();

 private:
  const Options& options_;
  bool ends_;  // the application is to be ended
  std::optional<launch::Holder> holder_;
  std::vector<UniqueFd> sockets_;
  std::string name_;
};

}  // namespace stasis::checkpoint
