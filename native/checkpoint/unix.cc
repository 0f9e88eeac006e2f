// UNIX sockets: pairs and connections whose ends are both in the application, single sockets, connections that wait at a listener of the
// application's.
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>

#include "checkpoint/sockets.h"

namespace stasis::checkpoint {

namespace {

constexpr std::uint64_t kNoPeer = 0;
constexpr std::uint32_t kBothWays = 3;
constexpr const char* kRemedy = "close it, or keep both ends inside the application";

// Of what was sent over it; some for every message.
int unread_bytes(const UniqueFd& socket) {
  int bytes = 0;
  return ::ioctl(socket.get(), SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

}  // namespace

bool SocketSaver::is_named_by_listener(const Address& name) const {
  return std::any_of(sockets_.begin(), sockets_.end(),
                     [&](const auto& entry) { return entry.second.listening && entry.second.name == name; });
}

// The file that binding the name made is still there.
bool SocketSaver::name_stands(const Socket& socket, const Address& name) const {
  auto path = path_of(name);
  const auto facts = facts_.find(socket.inode);
  if (!path || facts == facts_.end() || facts->second.file_inode == 0) return false;
  if (path->front() != '/') path = directory_for(socket, name) + "/" + *path;
  struct stat status;
  return ::lstat(path->c_str(), &status) == 0 && S_ISSOCK(status.st_mode) &&
         static_cast<std::uint32_t>(status.st_ino) == facts->second.file_inode;
}

Status SocketSaver::save_unix(const Socket& socket) {
  const auto facts = facts_.find(socket.inode);
  if (facts == facts_.end()) return {};  // closed in the meantime; or a finding has said so
  const std::uint32_t shutdown = facts->second.shutdown;
  if (shared_outside(socket.inode)) {
    findings_.add(socket.where, "a UNIX socket that another process has open, too", kRemedy);
    return {};
  }
  if (!facts->second.peer.has_value()) return save_unix_single(socket, shutdown);
  const std::uint64_t peer_inode = *facts->second.peer;
  const bool datagrams = socket.kind.type == SOCK_DGRAM;
  if (peer_inode == kNoPeer) {
    const bool waits =
        std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& pair) { return pair.second == socket.inode; });
    if (waits) return save_unix_single(socket, shutdown);
    if (datagrams || shutdown == kBothWays) return save_unix_pair(socket, nullptr, shutdown, 0);
    findings_.add_passing(socket.where, "a UNIX socket whose connection another process has yet to accept", kRemedy);
    return {};
  }
  const auto peer = sockets_.find(peer_inode);
  const bool inside = peer != sockets_.end() && !shared_outside(peer_inode);
  if (!inside && datagrams && !socket.peer_name.empty()) return save_unix_single(socket, shutdown);
  if (!inside && !shared_outside(peer_inode) && !objects_.is_outside("socket:[" + std::to_string(peer_inode) + "]"))
    return {};
  if (!inside) {
    const std::string remote = printable(socket.peer_name);
    findings_.add(socket.where, "a UNIX socket connected to another process" + (remote.empty() ? "" : " at " + remote),
                  kRemedy);
    return {};
  }
  const auto peer_facts = facts_.find(peer_inode);
  const bool mutual = peer_facts != facts_.end() && peer_facts->second.peer == socket.inode;
  // Datagram sockets that are connected by name need not be each other's only one.
  if (datagrams && (!mutual || !socket.peer_name.empty())) return save_unix_single(socket, shutdown);
  if (!mutual) return {};  // changing under our eyes
  done_.insert(peer_inode);
  return save_unix_pair(socket, &peer->second, shutdown, peer_facts->second.shutdown);
}

Status SocketSaver::save_unix_single(const Socket& socket, std::uint32_t shutdown) {
  image::Socket record;
  record.peer_name = socket.peer_name;
  record.keep_name = name_stands(socket, socket.name);
  record.shutdown = shutdown;
  const auto queued = objects_.unix_queues.find(socket.inode);
  const bool any = queued != objects_.unix_queues.end() && !queued->second.empty();
  if (any && socket.kind.type != SOCK_DGRAM) {
    findings_.add_passing(socket.where, "a UNIX socket that has received bytes before its connection was accepted",
                          "let the program accept it before the checkpoint");
    return {};
  }
  if (any && socket.name.empty()) {
    findings_.add(socket.where, "datagrams queued in a UNIX socket without a name",
                  "receive them before the checkpoint");
    return {};
  }
  // What a waiting connection's client has sent lies where only accept(2) leads to.
  if (socket.kind.type != SOCK_DGRAM && unread_bytes(socket.duplicate) > 0) {
    findings_.add_passing(socket.where, "a UNIX connection that nobody has accepted yet, with bytes sent over it",
                          "let the program accept it before the checkpoint");
    return {};
  }
  return save_single(socket, std::move(record), any);
}

Status SocketSaver::save_unix_pair(const Socket& first, const Socket* second, std::uint32_t first_shutdown,
                                   std::uint32_t second_shutdown) {
  // The second end is the one that has a listener's name, as an accepted socket does.
  const Socket *one = &first, *two = second;
  if (two != nullptr && two->kind.type != SOCK_DGRAM && !one->name.empty() &&
      (two->name.empty() || is_named_by_listener(one->name) ||
       (!is_named_by_listener(two->name) && name_stands(*two, two->name) && !name_stands(*one, one->name)))) {
    std::swap(one, two);
    std::swap(first_shutdown, second_shutdown);
  }
  image::SocketPair record;
  record.object = objects_.next();
  record.socket_type = static_cast<std::uint32_t>(one->kind.type);
  record.first_flags = one->flags;
  record.first_name = one->name;
  record.keep_first_name = name_stands(*one, one->name);
  record.first_shutdown = first_shutdown;
  record.directory = directory_for(*one, one->name);
  STASIS_TRY(add_options(*one, record.first_options));
  becomes(*one, record.object, 0);
  if (two != nullptr) {
    record.second_flags = two->flags;
    record.second_name = two->name;
    record.keep_second_name = !is_named_by_listener(two->name) && name_stands(*two, two->name);
    record.second_shutdown = second_shutdown;
    if (record.directory.empty()) record.directory = directory_for(*two, two->name);
    STASIS_TRY(add_options(*two, record.second_options));
    becomes(*two, record.object, 1);
  } else if (one->kind.type != SOCK_DGRAM && is_named_by_listener(one->peer_name)) {
    record.second_name = one->peer_name;
  }
  queues_.push_back({one->inode, record.object, Queue::Place::PairFirst});
  if (two != nullptr) queues_.push_back({two->inode, record.object, Queue::Place::PairSecond});
  image_.socket_pairs.push_back(std::move(record));
  return {};
}

}  // namespace stasis::checkpoint
