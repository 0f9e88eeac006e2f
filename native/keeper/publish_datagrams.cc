// UDP: each peer has a socket of its own towards the application, by which answers find back.
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "keeper/publish.h"
#include "runtime/net_address.h"

namespace stasis::keeper {

namespace {

constexpr u64 kIdleMs = 60'000;

char datagram[65536];

u64 now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * 1000 + static_cast<u64>(now.tv_nsec) / 1'000'000;
}

}  // namespace

void Publisher::receive_outside(int index) {
  for (int round = 0; round < kRoundsOfTurn; ++round) {
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
  for (int round = 0; round < kRoundsOfTurn && peer.fd >= 0; ++round) {
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

bool Publisher::drop_silent_peers() {
  const u64 now = now_ms();
  bool left = false;
  for (Peer& peer : peers_) {
    if (peer.fd >= 0 && now - peer.last_ms > kIdleMs) close_fd(peer.fd);
    left = left || peer.fd >= 0;
  }
  return left;
}

}  // namespace stasis::keeper
