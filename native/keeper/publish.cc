// The events of all published ports; publish_connections.cc and publish_datagrams.cc have what is done for each kind.
#include "keeper/publish.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/net_address.h"

namespace stasis::keeper {

namespace {

constexpr rlim_t kDescriptors = 4096;

}  // namespace

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
    Publication& publication = publications_[i];
    if (!parse_publication(options.publish[i], publication)) {
      failure = failure_of_kind(ErrorKind::Usage, "--publish takes PROTOCOL,ADDRESS,PORT,PORT");
      return false;
    }
    listeners_[i] = open_publication(publication, failure);
    if (listeners_[i] < 0) return false;
    if (!watch(listeners_[i], Kind::Publication, i, EPOLLIN)) {
      failure = failure_of_errno(errno, "publishing ports");
      return false;
    }
    ++count_;
  }
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
        serve(index);
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

void Publisher::withdraw() {
  for (int i = 0; i < count_; ++i) close_fd(listeners_[i]);
}

void Publisher::close_fd(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
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

void Publisher::tick() {
  u64 times;
  const ssize_t got = read(timer_, &times, sizeof times);
  if (got < 0) return;
  bool needed = drop_silent_peers();
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
