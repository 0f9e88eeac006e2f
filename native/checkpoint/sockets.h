// Sockets of the application: what the files about them share.
//
// Options and names are asked on duplicates of the application's descriptors (pidfd_getfd), what is queued is peeked at (queues.h), and
// which socket is the other end of which is known to the kernel alone (os/sock_diag.h).
//
// In two steps. save() makes the records and gives every end its object, or adds a finding. fill() follows when all
// descriptions have their objects, since a message can carry any of them.
#pragma once

#include <sys/socket.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/in_flight.h"
#include "checkpoint/objects.h"
#include "checkpoint/queues.h"
#include "checkpoint/socket_options.h"
#include "image/image.h"
#include "os/sock_diag.h"
#include "os/unique_fd.h"

namespace stasis::checkpoint {

enum class Side { Local, Remote };

using Address = std::vector<std::uint8_t>;  // sockaddr bytes, empty for none

// Empty where the socket has no name on that side, or only its family.
Address address_of(const UniqueFd& socket, Side side);
// "127.0.0.1:80", "[::1]:80", "/path", "@abstract"; empty for none.
std::string printable(const Address& address);
std::uint16_t family_of(const Address& address);
// A UNIX address that names a file: its path, as it was bound.
std::optional<std::string> path_of(const Address& address);

struct Socket {
  std::size_t description = 0;  // index in Objects::descriptions
  std::uint64_t inode = 0;
  std::uint32_t flags = 0;
  std::string where;
  UniqueFd duplicate;
  SocketKind kind;
  bool listening = false;
  Address name, peer_name;
};

class SocketSaver {
 public:
  SocketSaver(Objects& objects, image::Image& image, Findings& findings)
      : objects_(objects), image_(image), findings_(findings) {}

  Status save();
  Status fill();

 private:
  // One end whose queue goes into a record.
  struct Queue {
    std::uint64_t inode;
    std::uint32_t object;
    enum class Place { PairFirst, PairSecond, Single } place;
  };

  Result<std::optional<Socket>> open(std::size_t description);
  Status save_one(const Socket& socket);
  void becomes(const Socket& socket, std::uint32_t object, std::uint32_t end = 0) {
    objects_.descriptions[socket.description].becomes(object, end);
  }
  bool shared_outside(std::uint64_t inode) const {
    return objects_.shared_outside("socket:[" + std::to_string(inode) + "]");
  }
  // The directory that a relative name counts from; empty where no name does.
  std::string directory_for(const Socket& socket, const Address& name) const;
  Status add_options(const Socket& socket, std::vector<image::SocketOption>& options) const;
  std::uint32_t find_name(std::uint16_t family, int type, const Address& name) const;

  // unix.cc
  Status save_unix(const Socket& socket);
  Status save_unix_pair(const Socket& first, const Socket* second, std::uint32_t first_shutdown,
                        std::uint32_t second_shutdown);
  Status save_unix_single(const Socket& socket, std::uint32_t shutdown);
  bool is_named_by_listener(const Address& name) const;
  bool name_stands(const Socket& socket, const Address& name) const;

  // listeners.cc
  Status save_listener(const Socket& socket);

  // tcp.cc
  Status save_tcp(const Socket& socket);
  Status save_tcp_pair(const Socket& first, const Socket& second);
  Status save_tcp_alone(const Socket& socket, bool reset);
  Status save_tcp_kept(const Socket& socket);
  Status order_waiting();

  // udp.cc
  Status save_udp(const Socket& socket);
  Status save_single(const Socket& socket, image::Socket record, bool has_queue);

  Objects& objects_;
  image::Image& image_;
  Findings& findings_;
  std::optional<SocketDiagnosis> diagnosis_;
  std::map<std::uint64_t, Socket> sockets_;  // by inode; one inode has one description
  std::map<std::uint64_t, UnixSocketFacts> facts_;
  std::set<std::uint64_t> done_;
  std::vector<Queue> queues_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>>
      waiting_;  // UNIX: listener's inode, connecting socket's, in order
};

}  // namespace stasis::checkpoint
