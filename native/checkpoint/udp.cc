// UDP sockets: address, peer, options and the datagrams that wait in them. Whom they are connected to need not be a member: nothing is lost at a
// restore that the protocol does not lose. Memberships of multicast groups cannot be read.
#include "checkpoint/sockets.h"

namespace stasis::checkpoint {

Status SocketSaver::save_udp(const Socket& socket) {
  if (shared_outside(socket.inode)) {
    findings_.add(socket.where, "a UDP socket at " + printable(socket.name) + " that another process has open, too",
                  "close it before the checkpoint");
    return {};
  }
  if (has_pending_error(socket.duplicate)) {
    findings_.add_passing(socket.where, "a UDP socket with an error that the program has not taken yet",
                          "let the program read from it before the checkpoint");
    return {};
  }
  image::Socket record;
  record.peer_name = socket.peer_name;
  if (objects_.phase() == Phase::Stopped) {
    for (QueuedMessage& queued : STASIS_TRY(read_queue(socket.duplicate, QueueKind::Messages))) {
      image::Message& message = record.messages.emplace_back();
      message.data = std::move(queued.data);
      message.from = std::move(queued.from);
    }
  }
  return save_single(socket, std::move(record), false);
}

}  // namespace stasis::checkpoint
