#include "checkpoint/in_flight.h"

#include <sys/socket.h>
#include <unistd.h>

#include <set>

#include "checkpoint/objects.h"
#include "checkpoint/socket_options.h"

namespace stasis::checkpoint {

namespace {

constexpr std::size_t kMostInFlight =
    1 << 16;  // as many as RLIMIT_NOFILE lets a user have in flight, and more (unix(7))

Result<std::vector<UnixMessage>> read_one(Objects& objects, const UniqueFd& socket, int type) {
  const QueueKind kind = type == SOCK_STREAM ? QueueKind::Stream : QueueKind::Messages;
  auto queue = STASIS_TRY(read_queue(socket, kind));
  std::vector<UnixMessage> messages;
  for (QueuedMessage& queued : queue) {
    UnixMessage& message = messages.emplace_back();
    message.data = std::move(queued.data);
    message.from = std::move(queued.from);
    for (UniqueFd& right : queued.rights) message.rights.push_back(STASIS_TRY(objects.adopt(std::move(right))));
  }
  return messages;
}

}  // namespace

Result<UnixQueues> read_unix_queues(Objects& objects) {
  UnixQueues queues;
  // The list grows while it is walked.
  for (std::size_t i = 0; i < objects.descriptions.size() && i < kMostInFlight; ++i) {
    const Fd& fd = objects.descriptions[i].first();
    const std::uint64_t inode = fd.inode;
    if (!fd.link_starts("socket:[") || queues.contains(inode)) continue;
    const UniqueFd socket = STASIS_TRY(fd.duplicate());
    const auto family = STASIS_TRY(socket_option(socket, SOL_SOCKET, SO_DOMAIN));
    const auto listening = socket_option(socket, SOL_SOCKET, SO_ACCEPTCONN);
    if (family != AF_UNIX || (listening.ok() && listening.value() != 0)) continue;
    const int type = STASIS_TRY(socket_option(socket, SOL_SOCKET, SO_TYPE));
    queues[inode] = STASIS_TRY(read_one(objects, socket, type));
  }
  STASIS_TRY(objects.look_at_adopted());
  return queues;
}

}  // namespace stasis::checkpoint
