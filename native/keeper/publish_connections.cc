// TCP: each connection is joined to one of the keeper's to the application.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "keeper/publish.h"
#include "runtime/net_address.h"

namespace stasis::keeper {

namespace {

constexpr size_t kPieceBytes = 65536;

// A socket that was closed by its reader raises SIGPIPE, which splice(2) cannot be asked to leave out. All signals are
// blocked here and would be read as if they had been sent to the application.
void forget_broken_pipe() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  const timespec none{};
  sigtimedwait(&set, nullptr, &none);
}

bool is_out_of_descriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

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
  for (int round = 0; round < kRoundsOfTurn; ++round) {
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
void Publisher::serve(int index) {
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
  for (int round = 0; round < kRoundsOfTurn; ++round) {
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

}  // namespace stasis::keeper
