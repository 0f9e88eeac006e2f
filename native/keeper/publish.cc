#include "keeper/publish.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "runtime/net_address.h"

namespace stasis::keeper {

namespace {

constexpr int kRounds = 16;  // of 64 KiB or one connection or datagram, in one turn
constexpr size_t kPieceBytes = 65536;
constexpr u64 kIdleMs = 60'000;
constexpr rlim_t kDescriptors = 4096;

u64 now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * 1000 + static_cast<u64>(now.tv_nsec) / 1'000'000;
}

// A socket that was closed by its reader raises SIGPIPE, which splice(2) cannot be asked to leave out. All signals are blocked here and
// would be read as if they had been sent to the application.
void forget_broken_pipe() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  const timespec none{};
  sigtimedwait(&set, nullptr, &none);
}

void close_fd(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

bool is_out_of_descriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

bool parse_publication(const char* text, Publication& publication) {
  char words[128];
  if (snprintf(words, sizeof words, "%s", text) >= static_cast<int>(sizeof words)) return false;
  char* rest = words;
  const char* protocol = strsep(&rest, ",");
  const char* address = strsep(&rest, ",");
  const char* port_text = strsep(&rest, ",");
  long port = 0, inside = 0;
  if (rest == nullptr || !parse_number(port_text, 1, 65535, port) || !parse_number(rest, 1, 65535, inside))
    return false;
  if (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0) return false;
  publication.datagram = protocol[0] == 'u';
  publication.port = static_cast<u16>(inside);
  auto* four = reinterpret_cast<sockaddr_in*>(&publication.address);
  auto* six = reinterpret_cast<sockaddr_in6*>(&publication.address);
  if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(static_cast<u16>(port));
    publication.address_bytes = sizeof *four;
  } else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<u16>(port));
    publication.address_bytes = sizeof *six;
  } else {
    return false;
  }
  return true;
}

bool Publisher::open(const Options& options, Failure& failure) {
  if (options.publications == 0) return true;
  network_ = static_cast<u32>(options.network);
  host_ = static_cast<u32>(options.host);
  events_ = epoll_create1(EPOLL_CLOEXEC);
  timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (events_ < 0 || timer_ < 0 || !watch(timer_, Kind::Timer, 0, EPOLLIN)) {
    failure = failure_of_errno(errno, "publishing ports");
    return false;
  }
  for (int i = 0; i < options.publications; ++i) {
    Publication publication;
    if (!parse_publication(options.publish[i], publication)) {
      failure = failure_of_kind(ErrorKind::Usage, "--publish takes PROTOCOL,ADDRESS,PORT,PORT");
      return false;
    }
    if (!open_one(publication, failure)) return false;
  }
  return true;
}

bool Publisher::open_one(const Publication& publication, Failure& failure) {
  const int type = (publication.datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const int one = 1;
  const int fd = socket(publication.address.ss_family, type, 0);
  bool good = fd >= 0;
  // For datagrams the option would let two of them share the port.
  if (good && !publication.datagram) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (good && publication.address.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  good = good && bind(fd, reinterpret_cast<const sockaddr*>(&publication.address), publication.address_bytes) == 0 &&
         (publication.datagram || listen(fd, SOMAXCONN) == 0) && watch(fd, Kind::Publication, count_, EPOLLIN);
  if (!good) {
    const int error = errno;
    const auto* four = reinterpret_cast<const sockaddr_in*>(&publication.address);
    const auto* six = reinterpret_cast<const sockaddr_in6*>(&publication.address);
    const bool is_six = publication.address.ss_family == AF_INET6;
    char address[INET6_ADDRSTRLEN] = "", doing[128];
    inet_ntop(publication.address.ss_family, is_six ? static_cast<const void*>(&six->sin6_addr) : &four->sin_addr,
              address, sizeof address);
    snprintf(doing, sizeof doing, is_six ? "publishing [%s]:%d" : "publishing %s:%d", address, ntohs(four->sin_port));
    failure = failure_of_errno(error, doing);
    if (fd >= 0) close(fd);
    return false;
  }
  publications_[count_] = publication;
  listeners_[count_++] = fd;
  return true;
}

bool Publisher::watch(int fd, Kind kind, int index, u32 events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<u64>(kind) << 32 | static_cast<u32>(index);
  return epoll_ctl(events_, EPOLL_CTL_ADD, fd, &event) == 0;
}

sockaddr_storage Publisher::inside(u32 host, u16 port) const {
  runtime::SocketName name{};
  name.bytes[0] = runtime::kFamilyInet;
  runtime::set_real(&name, network_, {runtime::Place::Host, host, port});
  sockaddr_storage address{};
  memcpy(&address, name.bytes, sizeof(sockaddr_in));
  return address;
}

void Publisher::handle() {
  epoll_event events[64];
  const int count = epoll_wait(events_, events, 64, 0);
  for (int i = 0; i < count; ++i) {
    const int index = static_cast<int>(events[i].data.u64 & 0xffffffff);
    switch (static_cast<Kind>(events[i].data.u64 >> 32)) {
      case Kind::Publication:
        publications_[index].datagram ? receive_outside(index) : accept_connections(index);
        break;
      case Kind::Connection:
        serve(index, events[i].events);
        break;
      case Kind::Peer:
        receive_inside(index);
        break;
      case Kind::Timer:
        tick();
        break;
    }
  }
}

int Publisher::free_place() {
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (int place = 0; place < kMaxConnections; ++place) {
      if (connections_[place].sockets[0] < 0) return place;
    }
    if (!make_room()) break;
  }
  return -1;
}

// Only the outside has not yet answered the application's end of such a connection.
bool Publisher::make_room() {
  for (Connection& connection : connections_) {
    if (connection.sockets[0] < 0 || !connection.ways[1].closed) continue;
    end_connection(connection, false);
    return true;
  }
  return false;
}

void Publisher::accept_connections(int index) {
  for (int round = 0; round < kRounds; ++round) {
    const int place = free_place();
    if (place < 0) return pause(index);
    Connection& connection = connections_[place];
    const int fd = accept4(listeners_[index], nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (is_out_of_descriptors(errno) && !make_room()) pause(index);
      return;
    }
    connection = Connection();
    connection.sockets[0] = fd;
    const u32 interest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    if (!connect_inside(connection, index) || !watch(connection.sockets[0], Kind::Connection, place, interest) ||
        !watch(connection.sockets[1], Kind::Connection, place, interest)) {
      end_connection(connection, true);
    }
  }
}

bool Publisher::connect_inside(Connection& connection, int publication) {
  int& fd = connection.sockets[1];
  fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const int one = 1;
  // Bytes are passed on as they come.
  for (int each : connection.sockets) setsockopt(each, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  const sockaddr_storage from = inside(runtime::kGatewayHost, 0), to = inside(host_, publications_[publication].port);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof(sockaddr_in)) != 0) return false;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(sockaddr_in)) == 0) return true;
  connection.connecting = errno == EINPROGRESS;
  return connection.connecting;
}

// The sockets are watched for changes only, so both ways are followed until nothing more can be done.
void Publisher::serve(int index, u32 events) {
  Connection& connection = connections_[index];
  if (connection.sockets[0] < 0) return;  // ended earlier in this turn
  if (connection.connecting) {
    sockaddr_storage peer;
    socklen_t bytes = sizeof peer;
    int error = 0;
    socklen_t error_bytes = sizeof error;
    getsockopt(connection.sockets[1], SOL_SOCKET, SO_ERROR, &error, &error_bytes);
    if (error != 0) return end_connection(connection, true);
    if (getpeername(connection.sockets[1], reinterpret_cast<sockaddr*>(&peer), &bytes) != 0) return;
    connection.connecting = false;
  }
  bool more = false;
  for (int direction : {0, 1}) {
    const Step step = pump(connection, direction);
    if (step == Step::Failed) return end_connection(connection, true);
    more = more || step == Step::More;
  }
  if (connection.ways[0].closed && connection.ways[1].closed) return end_connection(connection, false);
  if (!more) return;
  // Others first; asking again reports what is still there.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = static_cast<u64>(Kind::Connection) << 32 | static_cast<u32>(index);
  for (int fd : connection.sockets) epoll_ctl(events_, EPOLL_CTL_MOD, fd, &event);
}

Publisher::Step Publisher::pump(Connection& connection, int direction) {
  Way& way = connection.ways[direction];
  const int from = connection.sockets[direction], to = connection.sockets[1 - direction];
  for (int round = 0; round < kRounds; ++round) {
    if (way.closed) return Step::Blocked;
    if (way.held == 0 && !way.ended) {
      if (!take_pipe(way)) return Step::Failed;
      const ssize_t got = splice(from, nullptr, way.pipe[1], nullptr, kPieceBytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      if (got <= 0) give_pipe(way);
      if (got < 0) return errno == EAGAIN ? Step::Blocked : Step::Failed;
      way.held = got;
      way.ended = got == 0;
    }
    if (way.held > 0) {
      const size_t bytes = static_cast<size_t>(way.held);
      const ssize_t sent = splice(way.pipe[0], nullptr, to, nullptr, bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      if (sent < 0) {
        if (errno == EPIPE) forget_broken_pipe();
        return errno == EAGAIN ? Step::Blocked : Step::Failed;
      }
      way.held -= sent;
      if (way.held == 0) give_pipe(way);
    } else if (way.ended) {
      shutdown(to, SHUT_WR);
      way.closed = true;
    }
  }
  return Step::More;
}

bool Publisher::take_pipe(Way& way) {
  if (way.pipe[0] >= 0) return true;
  if (spare_pipe_[0] < 0) return pipe2(way.pipe, O_CLOEXEC | O_NONBLOCK) == 0;
  for (int end : {0, 1}) {
    way.pipe[end] = spare_pipe_[end];
    spare_pipe_[end] = -1;
  }
  return true;
}

void Publisher::give_pipe(Way& way) {
  const bool keep = way.held == 0 && spare_pipe_[0] < 0;
  for (int end : {0, 1}) {
    if (keep) {
      spare_pipe_[end] = way.pipe[end];
      way.pipe[end] = -1;
    } else {
      close_fd(way.pipe[end]);
    }
  }
}

void Publisher::end_connection(Connection& connection, bool reset) {
  const linger now{1, 0};
  for (int& fd : connection.sockets) {
    if (fd >= 0 && reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close_fd(fd);
  }
  for (Way& way : connection.ways) give_pipe(way);
  resume();
}

void Publisher::pause(int index) {
  epoll_ctl(events_, EPOLL_CTL_DEL, listeners_[index], nullptr);
  paused_[index] = true;
  start_timer(true);
}

void Publisher::resume() {
  for (int i = 0; i < count_; ++i) {
    if (paused_[i] && watch(listeners_[i], Kind::Publication, i, EPOLLIN)) paused_[i] = false;
  }
}

namespace {
char datagram[65536];
}

void Publisher::receive_outside(int index) {
  for (int round = 0; round < kRounds; ++round) {
    sockaddr_storage from{};
    socklen_t bytes = sizeof from;
    const ssize_t got =
        recvfrom(listeners_[index], datagram, sizeof datagram, 0, reinterpret_cast<sockaddr*>(&from), &bytes);
    if (got < 0) return;
    Peer* peer = peer_of(index, from, bytes);
    // Datagrams may get lost; also one that nobody waits for, whose refusal comes back with a later call.
    if (peer != nullptr && send(peer->fd, datagram, static_cast<size_t>(got), MSG_NOSIGNAL) < 0 &&
        errno == ECONNREFUSED) {
      (void)send(peer->fd, datagram, static_cast<size_t>(got), MSG_NOSIGNAL);
    }
  }
}

void Publisher::receive_inside(int index) {
  Peer& peer = peers_[index];
  for (int round = 0; round < kRounds && peer.fd >= 0; ++round) {
    const ssize_t got = recv(peer.fd, datagram, sizeof datagram, 0);
    if (got < 0) return;
    peer.last_ms = now_ms();
    sendto(listeners_[peer.publication], datagram, static_cast<size_t>(got), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&peer.address), peer.address_bytes);
  }
}

Publisher::Peer* Publisher::peer_of(int publication, const sockaddr_storage& address, socklen_t bytes) {
  Peer* place = nullptr;
  for (Peer& peer : peers_) {
    const bool known = peer.fd >= 0 && peer.publication == publication && peer.address_bytes == bytes &&
                       memcmp(&peer.address, &address, bytes) == 0;
    if (known) {
      peer.last_ms = now_ms();
      return &peer;
    }
    if (place == nullptr || (place->fd >= 0 && (peer.fd < 0 || peer.last_ms < place->last_ms))) place = &peer;
  }
  close_fd(place->fd);
  place->publication = publication;
  place->address = address;
  place->address_bytes = bytes;
  place->last_ms = now_ms();
  return open_peer(*place) ? place : nullptr;
}

bool Publisher::open_peer(Peer& peer) {
  peer.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (peer.fd < 0) return false;
  const sockaddr_storage from = inside(runtime::kGatewayHost, 0),
                         to = inside(host_, publications_[peer.publication].port);
  const bool good = bind(peer.fd, reinterpret_cast<const sockaddr*>(&from), sizeof(sockaddr_in)) == 0 &&
                    connect(peer.fd, reinterpret_cast<const sockaddr*>(&to), sizeof(sockaddr_in)) == 0 &&
                    watch(peer.fd, Kind::Peer, static_cast<int>(&peer - peers_), EPOLLIN);
  if (!good) close_fd(peer.fd);
  start_timer(true);
  return good;
}

void Publisher::tick() {
  u64 times;
  const ssize_t got = read(timer_, &times, sizeof times);
  if (got < 0) return;
  const u64 now = now_ms();
  bool needed = false;
  for (Peer& peer : peers_) {
    if (peer.fd >= 0 && now - peer.last_ms > kIdleMs) close_fd(peer.fd);
    needed = needed || peer.fd >= 0;
  }
  resume();
  for (int i = 0; i < count_; ++i) needed = needed || paused_[i];
  if (!needed) start_timer(false);
}

void Publisher::start_timer(bool on) {
  const itimerspec period = on ? itimerspec{{1, 0}, {1, 0}} : itimerspec{};
  timerfd_settime(timer_, 0, &period, nullptr);
}

void Publisher::raise_limit() {
  rlimit limit;
  if (events_ < 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kDescriptors) return;
  limit.rlim_cur = limit.rlim_max < kDescriptors ? limit.rlim_max : kDescriptors;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace stasis::keeper
