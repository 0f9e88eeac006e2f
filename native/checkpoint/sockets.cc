// Sockets: UNIX pairs whose ends are both in the application, with the bytes queued in them, and listening sockets.
//
// Options and names are asked on a duplicate of the application's descriptor (pidfd_getfd). Queued bytes are read with
// MSG_PEEK, which takes nothing out. Which socket is the other end of a pair is known to the kernel alone
// (os/sock_diag.h).
#include "checkpoint/sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "checkpoint/fds.h"
#include "os/pidfd.h"
#include "os/sock_diag.h"

namespace stasis::checkpoint {

namespace {

constexpr std::uint64_t kNoPeer = 0;

struct Socket {
  Description* description = nullptr;
  UniqueFd duplicate;
  int family = 0, type = 0, protocol = 0;
  bool listening = false;
};

Result<int> option(const UniqueFd& socket, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(socket.get(), level, name, &value, &length) != 0)
    return Error::of_errno("getsockopt", "reading a socket's options");
  return value;
}

Result<Socket> open_socket(Description& description) {
  Socket socket;
  socket.description = &description;
  socket.duplicate = STASIS_TRY(description.first().duplicate());
  socket.family = STASIS_TRY(option(socket.duplicate, SOL_SOCKET, SO_DOMAIN));
  socket.type = STASIS_TRY(option(socket.duplicate, SOL_SOCKET, SO_TYPE));
  socket.protocol = STASIS_TRY(option(socket.duplicate, SOL_SOCKET, SO_PROTOCOL));
  const auto listening = option(socket.duplicate, SOL_SOCKET, SO_ACCEPTCONN);
  socket.listening = listening.ok() && listening.value() != 0;
  return socket;
}

// A TCP connection whose peer has closed it, or that was reset: the program has yet to read the end and close its fd.
bool is_ending(const Socket& socket) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket.duplicate.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return false;
  return info.tcpi_state != TCP_ESTABLISHED && info.tcpi_state != TCP_SYN_SENT && info.tcpi_state != TCP_SYN_RECV;
}

std::string name_of_kind(const Socket& socket) {
  switch (socket.family) {
    case AF_UNIX:
      return "a UNIX socket";
    case AF_INET:
    case AF_INET6:
      if (socket.type == SOCK_STREAM) return "a TCP socket";
      if (socket.type == SOCK_DGRAM) return "a UDP socket";
      return "a raw IP socket";
    case AF_NETLINK:
      return "a netlink socket";
    case AF_PACKET:
      return "a packet socket";
    case AF_VSOCK:
      return "a vsock socket";
    default:
      return "a socket of address family " + std::to_string(socket.family);
  }
}

class SocketSaver {
 public:
  SocketSaver(Objects& objects, image::Image& image, Findings& findings)
      : objects_(objects), image_(image), findings_(findings) {}

  Status save() {
    for (Description& description : objects_.descriptions) {
      if (description.saved || !description.first().link_starts("socket:[")) continue;
      description.saved = true;
      auto socket = open_socket(description);
      if (!socket.ok()) {
        if (objects_.phase() == Phase::Before && socket.error().error == EBADF) continue;
        return std::move(socket).error().with_pid(description.first().owner->pid);
      }
      sockets_.emplace(description.first().inode, std::move(socket).value());
    }
    for (auto& [inode, socket] : sockets_) {
      if (done_.insert(inode).second) STASIS_TRY(save_socket(inode, socket));
    }
    return {};
  }

 private:
  static std::string where(const Socket& socket) { return socket.description->first().where(); }

  Status save_socket(std::uint64_t inode, const Socket& socket);
  Status save_unix(std::uint64_t inode, const Socket& socket);
  Status save_pair(const Socket& first, const Socket* second);
  Result<std::vector<std::uint8_t>> queue_of(const Socket& socket);

  Objects& objects_;
  image::Image& image_;
  Findings& findings_;
  std::multimap<std::uint64_t, Socket> sockets_;  // by inode; one inode has one description
  std::set<std::uint64_t> done_;
};

Status SocketSaver::save_socket(std::uint64_t inode, const Socket& socket) {
  const bool tcp = (socket.family == AF_INET || socket.family == AF_INET6) && socket.type == SOCK_STREAM;
  if (socket.listening && (tcp || socket.family == AF_UNIX)) {
    return save_listener(objects_, *socket.description, socket.duplicate, image_, findings_);
  }
  if (socket.family == AF_UNIX) return save_unix(inode, socket);
  const std::string local = printable_name(socket.duplicate, Side::Local),
                    remote = printable_name(socket.duplicate, Side::Remote);
  std::string what = name_of_kind(socket);
  if (tcp && !remote.empty()) {
    what = "an established TCP connection, " + local + " to " + remote;
  } else if (!local.empty()) {
    what += " at " + local + (remote.empty() ? "" : " connected to " + remote);
  }
  if (tcp && is_ending(socket)) {
    findings_.add_passing(where(socket), what + ", closed by the other side",
                          "let the program close it before the checkpoint");
  } else {
    findings_.add(where(socket), what, "close it before the checkpoint");
  }
  return {};
}

Status SocketSaver::save_unix(std::uint64_t inode, const Socket& socket) {
  const auto diagnosis = STASIS_TRY(SocketDiagnosis::open());
  auto facts = diagnosis.unix_socket(inode);
  if (!facts.ok()) {
    if (facts.error().kind != ErrorKind::NotFound)
      return std::move(facts)
          .error()
          .with_pid(socket.description->first().owner->pid)
          .with_fd(socket.description->first().number);
    // Closed in the meantime, or unix_diag is not there to be asked.
    if (objects_.phase() == Phase::Stopped) {
      findings_.add(where(socket), "a UNIX socket whose other end the kernel does not tell",
                    "load the module unix_diag, or close it");
    }
    return {};
  }
  const std::string link = "socket:[" + std::to_string(inode) + "]";
  const std::string local = printable_name(socket.duplicate, Side::Local),
                    remote = printable_name(socket.duplicate, Side::Remote);
  if (!facts.value().peer.has_value() || !local.empty() || !remote.empty()) {
    const std::string name = !local.empty() ? " at " + local : "";
    findings_.add(where(socket),
                  (facts.value().peer.has_value() ? "a connected UNIX socket"
                                                  : "a UNIX socket that is neither connected nor listening") +
                      name + (remote.empty() ? "" : " to " + remote),
                  "close it before the checkpoint");
    return {};
  }
  const std::uint64_t peer_inode = *facts.value().peer;
  const auto peer = sockets_.find(peer_inode);
  const std::string peer_link = "socket:[" + std::to_string(peer_inode) + "]";
  const bool outside = (peer_inode != kNoPeer && peer == sockets_.end()) || objects_.shared_outside(link) ||
                       objects_.shared_outside(peer_link);
  if (outside) {
    findings_.add(where(socket), "a UNIX socket connected to another process",
                  "close it, or keep both ends inside the application");
    return {};
  }
  if (peer_inode != kNoPeer) done_.insert(peer_inode);
  return save_pair(socket, peer_inode == kNoPeer ? nullptr : &peer->second);
}

Result<std::vector<std::uint8_t>> SocketSaver::queue_of(const Socket& socket) {
  int bytes = 0;
  if (::ioctl(socket.duplicate.get(), FIONREAD, &bytes) != 0)
    return Error::of_errno("ioctl", "asking how much is queued in a socket");
  std::vector<std::uint8_t> data(static_cast<std::size_t>(bytes));
  // Even an empty datagram is seen: a datagram queue is empty only when peeking finds nothing.
  std::uint8_t none = 0;
  iovec vector{data.empty() ? &none : data.data(), data.empty() ? 1 : data.size()};
  alignas(cmsghdr) std::uint8_t control[CMSG_SPACE(253 * sizeof(int))];
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t count = ::recvmsg(socket.duplicate.get(), &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (count < 0 && (errno == EAGAIN || errno == ENOTCONN || errno == ECONNRESET)) return data;
  if (count < 0) return Error::of_errno("recvmsg", "reading what is queued in a socket");
  bool rights = false;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    rights = true;
    const std::size_t fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < fds; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      UniqueFd(fd).reset();
    }
  }
  // At end-of-file a stream gives 0 without having anything queued.
  const bool any = count > 0 || (socket.type != SOCK_STREAM && message.msg_flags == 0 && bytes > 0);
  if (socket.type != SOCK_STREAM && (any || bytes > 0)) {
    findings_.add(where(socket), "a socket pair with datagrams in flight", "read them before the checkpoint");
  } else if (rights || static_cast<std::size_t>(count) < data.size()) {
    // A peek ends where a message carries file descriptors or comes from another sender.
    findings_.add(where(socket), "a socket pair with file descriptors or credentials in flight",
                  "receive them before the checkpoint");
  }
  data.resize(static_cast<std::size_t>(std::max<ssize_t>(0, socket.type == SOCK_STREAM ? count : 0)));
  return data;
}

Status SocketSaver::save_pair(const Socket& first, const Socket* second) {
  image::SocketPair record;
  record.object = objects_.next();
  record.first_flags = first.description->first().flags;
  record.socket_type = static_cast<std::uint32_t>(first.type);
  if (second != nullptr) {
    record.second_flags = second->description->first().flags;
  }
  if (objects_.phase() == Phase::Stopped) {
    record.to_first = STASIS_TRY(queue_of(first));
    if (second != nullptr) record.to_second = STASIS_TRY(queue_of(*second));
  }
  if (second != nullptr && (is_shut_down(first.duplicate) || is_shut_down(second->duplicate))) {
    findings_.add(where(first), "a socket pair that is shut down in one direction", "close it before the checkpoint");
    return {};
  }
  first.description->becomes(record.object, 0);
  if (second != nullptr) second->description->becomes(record.object, 1);
  image_.socket_pairs.push_back(std::move(record));
  return {};
}

}  // namespace

Status save_sockets(Objects& objects, image::Image& image, Findings& findings) {
  return SocketSaver(objects, image, findings).save();
}

}  // namespace stasis::checkpoint
