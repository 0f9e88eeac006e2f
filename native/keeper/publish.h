// Published ports: the keeper listens at an address of the system and passes on to a port of the application in its
// environment. The application needs nothing for that and sees a peer 10.10.0.254, the keeper.
//
//     TCP   each connection is joined to one of the keeper's to the application; bytes go from socket to socket by splice(2)
//     UDP   each peer has a socket of its own towards the application, by which answers find back; 60 s without a datagram end it
//
// Rules: nothing blocks, and nothing that peers do may use up the keeper: places are counted, a turn is bounded. When
// places or descriptors run out, a connection that the application has ended gives way to a new one; without such, new
// ones wait in the listener's backlog. The UDP peer that was silent longest gives way to a new one. What one side of a
// connection does (end of stream, reset, a refused connection) the other side sees.
#pragma once

#include <sys/socket.h>

#include "keeper/failure.h"
#include "keeper/options.h"
#include "keeper/publication.h"
#include "wire/types.h"

namespace stasis::keeper {

class Publisher {
 public:
  // Binds all that the options ask for; a taken port is a failure.
  bool open(const Options& options, Failure& failure);

  // To be polled for input; -1 if nothing is published.
  int fd() const { return events_; }

  // Once the application has been given its limits: each connection needs two descriptors.
  void raise_limit();

  // Handles what is there, for one turn.
  void handle();

  // Gives the ports back. Connections last as long as the keeper.
  void withdraw();

 private:
  static constexpr int kMaxConnections = 1900, kMaxPeers = 256;
  static constexpr int kRoundsOfTurn = 16;  // of 64 KiB or one connection or datagram

  // Where bytes go in one direction. The pipe is there only while bytes are in it.
  struct Way {
    int pipe[2] = {-1, -1};
    long held = 0;
    bool ended = false;   // nothing more comes in
    bool closed = false;  // and the other side has been told
  };
  struct Connection {
    int sockets[2] = {-1, -1};  // outside, application
    bool connecting = false;
    Way ways[2];  // way i comes from sockets[i]
  };
  struct Peer {
    int fd = -1;  // towards the application
    int publication = 0;
    sockaddr_storage address{};
    socklen_t address_bytes = 0;
    u64 last_ms = 0;
  };
  enum class Kind : u32 { Publication, Connection, Peer, Timer };
  enum class Step { Blocked, More, Failed };

  bool watch(int fd, Kind kind, int index, u32 events);
  void pause(int index);
  void resume();
  void tick();
  void start_timer(bool on);  // which looks after silent peers and paused listeners, once a second
  sockaddr_storage inside(u32 host, u16 port) const;
  static void close_fd(int& fd);

  // publish_connections.cc
  void accept_connections(int index);
  int free_place();
  bool make_room();
  bool connect_inside(Connection& connection, int publication);
  void serve(int index);
  Step pump(Connection& connection, int direction);
  bool take_pipe(Way& way);
  void give_pipe(Way& way);
  void end_connection(Connection& connection, bool reset);

  // publish_datagrams.cc
  void receive_outside(int index);
  void receive_inside(int index);
  Peer* peer_of(int publication, const sockaddr_storage& address, socklen_t bytes);
  bool open_peer(Peer& peer);
  bool drop_silent_peers();  // true if there are others

  int events_ = -1, timer_ = -1;
  u32 network_ = 0, host_ = 0;
  int count_ = 0;
  Publication publications_[kMaxPublications];
  int listeners_[kMaxPublications];
  bool paused_[kMaxPublications] = {};
  int spare_pipe_[2] = {-1, -1};
  Connection connections_[kMaxConnections];
  Peer peers_[kMaxPeers];
};

}  // namespace stasis::keeper
