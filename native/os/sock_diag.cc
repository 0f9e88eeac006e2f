#include "os/sock_diag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace stasis {

namespace {

constexpr std::uint8_t kListen = 10;  // TCP_LISTEN, used for all families
constexpr char kDoing[] = "asking the kernel about a socket";
constexpr std::size_t kAnswerBytes = 32768;  // a full backlog of 4096 sockets has 16 KiB of inodes

Result<UnixSocketFacts> parse(const unsigned char* bytes, std::size_t count) {
  UnixSocketFacts facts;
  unix_diag_msg message;
  if (count < sizeof message) return Error::plain(ErrorKind::Failed, kDoing);
  std::memcpy(&message, bytes, sizeof message);
  facts.listening = message.udiag_state == kListen;
  std::size_t at = NLMSG_ALIGN(sizeof message);
  while (at + sizeof(rtattr) <= count) {
    rtattr attribute;
    std::memcpy(&attribute, bytes + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > count) break;
    const unsigned char* value = bytes + at + RTA_LENGTH(0);
    const std::size_t length = attribute.rta_len - RTA_LENGTH(0);
    if (attribute.rta_type == UNIX_DIAG_PEER && length >= 4) {
      std::uint32_t inode;
      std::memcpy(&inode, value, sizeof inode);
      facts.peer = inode;
    } else if (attribute.rta_type == UNIX_DIAG_RQLEN && length >= sizeof(unix_diag_rqlen)) {
      unix_diag_rqlen queue;
      std::memcpy(&queue, value, sizeof queue);
      facts.queued = queue.udiag_rqueue;
      if (facts.listening) facts.backlog = queue.udiag_wqueue;
    } else if (attribute.rta_type == UNIX_DIAG_SHUTDOWN && length >= 1) {
      facts.shutdown = value[0];
    } else if (attribute.rta_type == UNIX_DIAG_ICONS) {
      for (std::size_t i = 0; i + 4 <= length; i += 4) {
        std::uint32_t inode;
        std::memcpy(&inode, value + i, sizeof inode);
        facts.waiting.push_back(inode);
      }
    } else if (attribute.rta_type == UNIX_DIAG_VFS && length >= sizeof(unix_diag_vfs)) {
      unix_diag_vfs file;
      std::memcpy(&file, value, sizeof file);
      facts.file_inode = file.udiag_vfs_ino;
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return facts;
}

}  // namespace

Result<SocketDiagnosis> SocketDiagnosis::open() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd) return Error::of_errno("socket", kDoing);
  // The kernel answers within the call that asks; the time-out is for a kernel that does not.
  const timeval second{1, 0};
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second) != 0)
    return Error::of_errno("setsockopt", kDoing);
  return SocketDiagnosis(std::move(fd));
}

// The answer's body, of at least `least` bytes.
Result<std::vector<unsigned char>> SocketDiagnosis::ask(const void* request, std::size_t bytes,
                                                        std::size_t least) const {
  if (::send(fd_.get(), request, bytes, 0) != static_cast<ssize_t>(bytes)) return Error::of_errno("send", kDoing);
  std::vector<unsigned char> answer(kAnswerBytes);
  const ssize_t count = ::recv(fd_.get(), answer.data(), answer.size(), 0);
  if (count < static_cast<ssize_t>(sizeof(nlmsghdr))) return Error::of_errno("recv", kDoing);
  nlmsghdr header;
  std::memcpy(&header, answer.data(), sizeof header);
  if (header.nlmsg_type == NLMSG_ERROR) {
    nlmsgerr error{};
    std::memcpy(&error, answer.data() + NLMSG_HDRLEN,
                std::min(sizeof error, static_cast<std::size_t>(count) - NLMSG_HDRLEN));
    return Error::of_errno(-error.error, "sock_diag", kDoing);
  }
  const std::size_t length = std::min<std::size_t>(header.nlmsg_len, static_cast<std::size_t>(count));
  if (length < NLMSG_HDRLEN + least) return Error::plain(ErrorKind::Failed, kDoing);
  answer.resize(length);
  answer.erase(answer.begin(), answer.begin() + NLMSG_HDRLEN);
  return answer;
}

Result<UnixSocketFacts> SocketDiagnosis::unix_socket(std::uint64_t inode) const {
  struct {
    nlmsghdr header;
    unix_diag_req request;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = NLM_F_REQUEST;
  message.request.sdiag_family = AF_UNIX;
  message.request.udiag_states = ~0u;
  message.request.udiag_ino = static_cast<__u32>(inode);
  message.request.udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_ICONS | UDIAG_SHOW_VFS;
  message.request.udiag_cookie[0] = message.request.udiag_cookie[1] = ~0u;  // any generation of the inode number
  const auto answer = STASIS_TRY(ask(&message, sizeof message, sizeof(unix_diag_msg)));
  return parse(answer.data(), answer.size());
}

Result<TcpSocketFacts> SocketDiagnosis::tcp_socket(const sockaddr_storage& local,
                                                   const sockaddr_storage& remote) const {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = NLM_F_REQUEST;
  message.request.sdiag_family = static_cast<__u8>(local.ss_family);
  message.request.sdiag_protocol = IPPROTO_TCP;
  message.request.idiag_states = ~0u;
  inet_diag_sockid& id = message.request.id;
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (local.ss_family == AF_INET) {
    const auto& own = reinterpret_cast<const sockaddr_in&>(local);
    const auto& peer = reinterpret_cast<const sockaddr_in&>(remote);
    id.idiag_sport = own.sin_port;
    id.idiag_dport = peer.sin_port;
    id.idiag_src[0] = own.sin_addr.s_addr;
    id.idiag_dst[0] = peer.sin_addr.s_addr;
  } else {
    const auto& own = reinterpret_cast<const sockaddr_in6&>(local);
    const auto& peer = reinterpret_cast<const sockaddr_in6&>(remote);
    id.idiag_sport = own.sin6_port;
    id.idiag_dport = peer.sin6_port;
    std::memcpy(id.idiag_src, &own.sin6_addr, sizeof id.idiag_src);
    std::memcpy(id.idiag_dst, &peer.sin6_addr, sizeof id.idiag_dst);
  }
  const auto answer = STASIS_TRY(ask(&message, sizeof message, sizeof(inet_diag_msg)));
  inet_diag_msg found;
  std::memcpy(&found, answer.data(), sizeof found);
  // Without such a connection the kernel answers with a listening socket of the local port.
  if (found.idiag_state == kListen || found.id.idiag_dport != id.idiag_dport)
    return Error::of_errno(ENOENT, "sock_diag", kDoing);
  return TcpSocketFacts{found.idiag_state, found.idiag_inode, found.idiag_rqueue, found.idiag_wqueue};
}

}  // namespace stasis
