#include "os/sock_diag.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace stasis {

namespace {

constexpr std::uint8_t kListen = 10;  // TCP_LISTEN, used for all families
constexpr char kDoing[] = "asking the kernel about a UNIX socket";

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
  message.request.udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN;
  message.request.udiag_cookie[0] = message.request.udiag_cookie[1] = ~0u;  // any generation of the inode number
  if (::send(fd_.get(), &message, sizeof message, 0) != static_cast<ssize_t>(sizeof message))
    return Error::of_errno("send", kDoing);
  alignas(nlmsghdr) unsigned char answer[4096];
  const ssize_t count = ::recv(fd_.get(), answer, sizeof answer, 0);
  if (count < static_cast<ssize_t>(sizeof(nlmsghdr))) return Error::of_errno("recv", kDoing);
  nlmsghdr header;
  std::memcpy(&header, answer, sizeof header);
  if (header.nlmsg_type == NLMSG_ERROR) {
    nlmsgerr error{};
    std::memcpy(&error, answer + NLMSG_HDRLEN, std::min(sizeof error, static_cast<std::size_t>(count) - NLMSG_HDRLEN));
    return Error::of_errno(-error.error, "sock_diag", kDoing);
  }
  const std::size_t length = std::min<std::size_t>(header.nlmsg_len, static_cast<std::size_t>(count));
  return parse(answer + NLMSG_HDRLEN, length - NLMSG_HDRLEN);
}

}  // namespace stasis
