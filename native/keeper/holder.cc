#include "keeper/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wire/held.h"

namespace stasis::keeper {
namespace {

using wire::HeldAnswer;
using wire::HeldRequest;
using wire::HeldVerb;

constexpr u32 kMostConnections = 65536;
constexpr int kRepairOn = 1, kRepairOff = 0, kRepairOffQuietly = -1;  // TCP_REPAIR; the first way of off sends a probe
constexpr int kClosed = 7;                                            // TCP_CLOSE, include/net/tcp_states.h
constexpr int kBufferLock = 72;                                       // SO_BUF_LOCK, 5.14
constexpr int kEndMs = 500;                                           // for processes that are being killed
constexpr int kSendMs = 2000;

struct Connection {
  int fd, unsent_fd;
  bool of_program;  // guarded, not made for a restore
  u32 flags;
  i32 reuse;
  u32 send_buffer;
  u64 unsent_bytes;
  // What would end a connection whose peer seems not to answer, as the program has set it.
  i32 keep_alive, user_timeout;
};

i64 now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<i64>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

bool set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value) == 0; }

int get(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) == 0 ? value : 0;
}

void detach_filter(int fd) { set(fd, SOL_SOCKET, SO_DETACH_FILTER, 0); }

// The application has it, or is to have it, as it was.
void undo(const Connection& connection) {
  if (!connection.of_program) return;
  if (get(connection.fd, IPPROTO_TCP, TCP_REPAIR) != 0) {
    if (!set(connection.fd, IPPROTO_TCP, TCP_REPAIR, kRepairOffQuietly))
      set(connection.fd, IPPROTO_TCP, TCP_REPAIR, kRepairOff);
    set(connection.fd, SOL_SOCKET, SO_REUSEADDR, connection.reuse);
  }
  if ((connection.flags & wire::kHeldFiltered) != 0) detach_filter(connection.fd);
}

void begin_hold(Connection& connection) {
  if (!connection.of_program) return;
  connection.keep_alive = get(connection.fd, SOL_SOCKET, SO_KEEPALIVE);
  connection.user_timeout = get(connection.fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
  set(connection.fd, SOL_SOCKET, SO_KEEPALIVE, 0);
  set(connection.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
  set(connection.fd, IPPROTO_TCP, TCP_REPAIR, kRepairOn);
}

bool is_gone(const Connection& connection) {
  tcp_info info{};
  socklen_t length = sizeof info;
  return getsockopt(connection.fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || info.tcpi_state == kClosed;
}

// 0 or an errno.
int send_unsent(const Connection& connection) {
  void* data = mmap(nullptr, connection.unsent_bytes, PROT_READ, MAP_SHARED, connection.unsent_fd, 0);
  if (data == MAP_FAILED) return errno;
  int outstanding = 0;
  ioctl(connection.fd, SIOCOUTQ, &outstanding);
  const u64 room = 2 * (connection.unsent_bytes + static_cast<u64>(outstanding)) + (1 << 16);
  set(connection.fd, SOL_SOCKET, SO_SNDBUFFORCE, static_cast<int>(room < (1u << 30) ? room : 1u << 30));
  if (static_cast<u64>(get(connection.fd, SOL_SOCKET, SO_SNDBUF)) < room)
    set(connection.fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(room < (1u << 30) ? room : 1u << 30));
  const char* from = static_cast<const char*>(data);
  int error = 0;
  for (u64 sent = 0; sent < connection.unsent_bytes && error == 0;) {
    const ssize_t count = send(connection.fd, from + sent, connection.unsent_bytes - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<u64>(count);
      continue;
    }
    error = errno;
    pollfd writable{connection.fd, POLLOUT, 0};
    if (error == EAGAIN && poll(&writable, 1, kSendMs) == 1) error = 0;
  }
  munmap(data, connection.unsent_bytes);
  if (connection.send_buffer != 0) {
    set(connection.fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(connection.send_buffer));
  } else {
    set(connection.fd, SOL_SOCKET, kBufferLock, 0);
  }
  return error;
}

// The probe that turning repair mode off sends is answered by the peer with what it has, which then counts as acknowledged.
int go(const Connection& connection) {
  detach_filter(connection.fd);
  if (!set(connection.fd, IPPROTO_TCP, TCP_REPAIR, kRepairOff)) return errno;
  set(connection.fd, SOL_SOCKET, SO_REUSEADDR, connection.reuse);
  if (connection.of_program) {
    set(connection.fd, SOL_SOCKET, SO_KEEPALIVE, connection.keep_alive);
    set(connection.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, connection.user_timeout);
  }
  if (connection.unsent_bytes > 0) {
    if (const int error = send_unsent(connection)) return error;
  }
  if ((connection.flags & wire::kHeldShutDown) != 0) shutdown(connection.fd, SHUT_WR);
  return 0;
}

void reset(const Connection& connection) {
  const linger at_once{1, 0};
  set(connection.fd, IPPROTO_TCP, TCP_REPAIR, kRepairOffQuietly);
  setsockopt(connection.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(connection.fd);
}

// A request and the descriptors that came with it; `got` is 0 at the end of the connection.
struct Received {
  ssize_t got = 0;
  HeldRequest request{};
  int fds[2] = {-1, -1};
};

Received receive(int socket) {
  Received received;
  iovec vector{&received.request, sizeof received.request};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof received.fds)];
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  do {
    received.got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (received.got < 0 && errno == EINTR);
  if (received.got != sizeof received.request) received.got = 0;
  const cmsghdr* header = received.got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
    memcpy(received.fds, CMSG_DATA(header),
           header->cmsg_len - CMSG_LEN(0) < sizeof received.fds ? header->cmsg_len - CMSG_LEN(0) : sizeof received.fds);
  received.request.name[wire::kHeldNameBytes - 1] = 0;
  return received;
}

void answer(int socket, int error, u32 count, int fd = -1) {
  HeldAnswer text{error, count};
  iovec vector{&text, sizeof text};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  sendmsg(socket, &message, MSG_NOSIGNAL);
}

class Holder {
 public:
  int run();

 private:
  bool serve_control();
  bool serve_taker();
  void accept_taker();
  bool lose_control();
  int add(const Received& received);
  int hold(const HeldRequest& request);

  Connection* connections_ = nullptr;
  u32 count_ = 0;
  int control_ = wire::kHeldControlFd, listener_ = -1, taker_ = -1, application_ = -1;
  HeldRequest ending_{};
  i64 deadline_ms_ = 0;
};

int Holder::add(const Received& received) {
  if (received.fds[0] < 0 || (received.request.unsent_bytes > 0 && received.fds[1] < 0)) return EBADF;
  if (connections_ == nullptr) connections_ = static_cast<Connection*>(calloc(kMostConnections, sizeof(Connection)));
  if (connections_ == nullptr || count_ == kMostConnections) return ENOSPC;
  Connection& connection = connections_[count_++];
  connection.fd = received.fds[0];
  connection.unsent_fd = received.fds[1];
  connection.flags = received.request.flags;
  connection.reuse = received.request.reuse;
  connection.of_program = received.request.verb == HeldVerb::Guard;
  connection.send_buffer = received.request.send_buffer;
  connection.unsent_bytes = received.request.unsent_bytes;
  return 0;
}

int Holder::hold(const HeldRequest& request) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, request.name, wire::kHeldNameBytes);
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + strlen(request.name));
  listener_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0 || bind(listener_, reinterpret_cast<sockaddr*>(&address), bytes) != 0 || listen(listener_, 4) != 0)
    return errno;
  for (u32 i = 0; i < count_; i++) begin_hold(connections_[i]);
  deadline_ms_ = now_ms() + static_cast<i64>(request.seconds) * 1000;
  return 0;
}

// True if there is something to hold.
bool Holder::lose_control() {
  close(control_);
  control_ = -1;
  if (listener_ >= 0) return true;
  pollfd ended{application_, POLLIN, 0};
  if (application_ >= 0 && poll(&ended, 1, kEndMs) == 1) return hold(ending_) == 0;
  for (u32 i = 0; i < count_; i++) undo(connections_[i]);
  return false;
}

// False: there is nothing left to do.
bool Holder::serve_control() {
  const Received received = receive(control_);
  if (received.got == 0) return lose_control();
  int error = 0;
  switch (received.request.verb) {
    case HeldVerb::Guard:
      add(received);  // or it is missing in the count
      return true;
    case HeldVerb::Keep:
      error = add(received);
      break;
    case HeldVerb::Ending:
      application_ = received.fds[0];
      ending_ = received.request;
      break;
    case HeldVerb::Hold:
      error = hold(received.request);
      break;
    case HeldVerb::Done:
      answer(control_, 0, count_);
      return false;
    default:
      error = EINVAL;
  }
  answer(control_, error, count_);
  return true;
}

// Whoever may do to this process what he likes may have its connections, too.
void Holder::accept_taker() {
  taker_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  ucred peer{};
  socklen_t length = sizeof peer;
  if (taker_ < 0 ||
      (getsockopt(taker_, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == 0 || peer.uid == geteuid())))
    return;
  close(taker_);
  taker_ = -1;
}

// False: the connections are somebody else's now, or are gone.
bool Holder::serve_taker() {
  const Received received = receive(taker_);
  if (received.got == 0) {
    close(taker_);
    taker_ = -1;
    return true;
  }
  int error = 0;
  switch (received.request.verb) {
    case HeldVerb::Ask:
      for (u32 i = 0; i < count_ && error == 0; i++) error = is_gone(connections_[i]) ? ECONNRESET : 0;
      if (error != 0) close(listener_);
      answer(taker_, error, count_);
      return error == 0;
    case HeldVerb::Take:
      if (received.request.index >= count_) break;
      answer(taker_, 0, count_, connections_[received.request.index].fd);
      return true;
    case HeldVerb::Reset:
      for (u32 i = 0; i < count_; i++) reset(connections_[i]);
      close(listener_);
      answer(taker_, 0, count_);
      return false;
    case HeldVerb::Go:
      for (u32 i = 0; i < count_ && error == 0; i++) error = go(connections_[i]);
      close(listener_);
      answer(taker_, error, count_);
      return false;
    default:
      break;
  }
  answer(taker_, EINVAL, count_);
  return true;
}

int Holder::run() {
  while (true) {
    pollfd entries[2] = {{control_, POLLIN, 0}, {taker_ >= 0 ? taker_ : listener_, POLLIN, 0}};
    int timeout = -1;
    if (listener_ >= 0 && taker_ < 0) {
      const i64 left = deadline_ms_ - now_ms();
      if (left <= 0) return 0;
      timeout = static_cast<int>(left);
    }
    if (poll(entries, 2, timeout) < 0 && errno != EINTR) return 1;
    if (entries[0].revents != 0 && !serve_control()) return 0;
    if (entries[1].revents == 0) continue;
    if (taker_ >= 0) {
      if (!serve_taker()) return 0;
    } else if (listener_ >= 0) {
      accept_taker();
    }
  }
}

}  // namespace

int hold_connections() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  close_range(wire::kHeldControlFd + 1, ~0U, 0);
  fcntl(wire::kHeldControlFd, F_SETFD, FD_CLOEXEC);
  static Holder holder;  // too large for the stack
  return holder.run();
}

}  // namespace stasis::keeper
