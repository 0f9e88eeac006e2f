#include "checkpoint/queues.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/scope_exit.h"

namespace stasis::checkpoint {

namespace {

constexpr char kDoing[] = "reading what is queued in a socket";
constexpr std::size_t kFirstBuffer = 1 << 16;
constexpr std::size_t kMostRights = 253;  // SCM_MAX_FD

Status set_offset(int socket, int offset) {
  if (::setsockopt(socket, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) != 0)
    return Error::of_errno("setsockopt", kDoing);
  return {};
}

std::vector<UniqueFd> take_rights(msghdr& message) {
  std::vector<UniqueFd> rights;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      rights.emplace_back(fd);
    }
  }
  return rights;
}

// One recvmsg at `offset`; nothing at the end of the queue. `bytes` is the room for data, which grows to what a message needs.
Result<std::optional<QueuedMessage>> peek_at(int socket, std::size_t offset, std::size_t bytes, bool whole) {
  while (true) {
    STASIS_TRY(set_offset(socket, static_cast<int>(offset)));
    QueuedMessage result;
    result.data.resize(bytes);
    sockaddr_storage from;
    // The kernel's own room for ancillary data beside the descriptors: credentials, time stamps, addresses.
    alignas(cmsghdr) std::uint8_t control[CMSG_SPACE(kMostRights * sizeof(int)) + 1024];
    iovec vector{result.data.data(), result.data.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const int flags = MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (whole ? MSG_TRUNC : 0);
    const ssize_t count = ::recvmsg(socket, &message, flags);
    if (count < 0 && (errno == EAGAIN || errno == ENOTCONN)) return std::optional<QueuedMessage>();
    if (count < 0) return Error::of_errno("recvmsg", kDoing);
    result.rights = take_rights(message);
    if (static_cast<std::size_t>(count) > bytes) {
      bytes = static_cast<std::size_t>(count);
      continue;
    }
    result.data.resize(static_cast<std::size_t>(count));
    const auto* raw = reinterpret_cast<const std::uint8_t*>(&from);
    if (message.msg_namelen > sizeof(sa_family_t)) result.from.assign(raw, raw + message.msg_namelen);
    return std::optional<QueuedMessage>(std::move(result));
  }
}

Status walk_stream(int socket, std::size_t waiting, std::vector<QueuedMessage>& messages) {
  std::size_t offset = 0;
  while (offset < waiting) {
    auto next = STASIS_TRY(peek_at(socket, offset, waiting - offset, false));
    if (!next.has_value() || next->data.empty()) break;
    const std::size_t bytes = next->data.size();
    if (!next->rights.empty() && bytes > 1) {
      // A peek goes on with room for no more bytes until it meets descriptors (net/unix/af_unix.c), so nothing tells where in
      // this run the message begins that has them; but it ends here.
      QueuedMessage before;
      before.data.assign(next->data.begin(), next->data.end() - 1);
      messages.push_back(std::move(before));
      next->data.erase(next->data.begin(), next->data.end() - 1);
    }
    next->from.clear();
    messages.push_back(std::move(*next));
    offset += bytes;
  }
  return {};
}

bool is_shut_for_reading(int socket) {
  pollfd query{socket, POLLRDHUP, 0};
  return ::poll(&query, 1, 0) == 1 && (query.revents & (POLLRDHUP | POLLHUP)) != 0;
}

Status walk_messages(int socket, std::vector<QueuedMessage>& messages) {
  const bool ends = is_shut_for_reading(socket);
  std::size_t offset = 0;
  while (true) {
    auto next = STASIS_TRY(peek_at(socket, offset, kFirstBuffer, true));
    if (!next.has_value()) return {};
    // The end of a closed connection reads like a message without bytes, again and again.
    if (ends && next->data.empty() && next->rights.empty()) return {};
    offset += next->data.size();
    messages.push_back(std::move(*next));
  }
}

}  // namespace

bool has_pending_error(const UniqueFd& socket) {
  pollfd query{socket.get(), 0, 0};
  return ::poll(&query, 1, 0) == 1 && (query.revents & POLLERR) != 0;
}

Result<std::vector<QueuedMessage>> read_queue(const UniqueFd& socket, QueueKind kind) {
  std::vector<QueuedMessage> messages;
  int waiting = 0, before = -1;
  if (::ioctl(socket.get(), FIONREAD, &waiting) != 0) return Error::of_errno("ioctl", kDoing);
  if (waiting == 0 && (kind == QueueKind::Stream || has_pending_error(socket))) return messages;
  socklen_t length = sizeof before;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEEK_OFF, &before, &length) != 0)
    return Error::of_errno("getsockopt", kDoing);
  const int fd = socket.get();
  ScopeExit put_back([fd, before] { ::setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &before, sizeof before); });
  if (kind == QueueKind::Stream) {
    STASIS_TRY(walk_stream(fd, static_cast<std::size_t>(waiting), messages));
    return messages;
  }
  STASIS_TRY(walk_messages(fd, messages));
  return messages;
}

Result<std::vector<std::uint8_t>> read_tcp_queue(const UniqueFd& socket) {
  int waiting = 0;
  if (::ioctl(socket.get(), FIONREAD, &waiting) != 0) return Error::of_errno("ioctl", kDoing);
  std::vector<std::uint8_t> data(static_cast<std::size_t>(waiting));
  if (data.empty()) return data;
  const ssize_t count = ::recv(socket.get(), data.data(), data.size(), MSG_PEEK | MSG_DONTWAIT);
  if (count < 0) return Error::of_errno("recv", kDoing);
  data.resize(static_cast<std::size_t>(count));
  return data;
}

}  // namespace stasis::checkpoint
