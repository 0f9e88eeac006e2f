#include "checkpoint/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "checkpoint/fds.h"

namespace stasis::checkpoint {

namespace {

std::string name_of_kind(const Socket& socket) {
  switch (socket.kind.family) {
    case AF_INET:
    case AF_INET6:
      return socket.kind.type == SOCK_STREAM ? "a stream socket of protocol " + std::to_string(socket.kind.protocol)
                                             : "a raw IP socket";
    case AF_NETLINK:
      return "a netlink socket";
    case AF_PACKET:
      return "a packet socket";
    case AF_VSOCK:
      return "a vsock socket";
    default:
      return "a socket of address family " + std::to_string(socket.kind.family);
  }
}

template <class Record>
Record& find_object(std::vector<Record>& records, std::uint32_t object) {
  const auto found =
      std::find_if(records.begin(), records.end(), [object](const Record& record) { return record.object == object; });
  STASIS_CHECK(found != records.end());
  return *found;
}

template <class T>
const T* as(const Address& address) {
  return address.size() >= sizeof(T) ? reinterpret_cast<const T*>(address.data()) : nullptr;
}

}  // namespace

Address address_of(const UniqueFd& socket, Side side) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  auto* to = reinterpret_cast<sockaddr*>(&address);
  const int result =
      side == Side::Local ? ::getsockname(socket.get(), to, &length) : ::getpeername(socket.get(), to, &length);
  if (result != 0 || length <= sizeof(sa_family_t)) return {};
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&address);
  Address bytes(raw, raw + std::min<std::size_t>(length, sizeof address));
  // A socket of the internet that is not bound has the port 0.
  if (const auto* in = as<sockaddr_in>(bytes); address.ss_family == AF_INET && in->sin_port == 0) return {};
  if (const auto* in6 = as<sockaddr_in6>(bytes); address.ss_family == AF_INET6 && in6->sin6_port == 0) return {};
  return bytes;
}

std::uint16_t family_of(const Address& address) {
  std::uint16_t family = 0;
  if (address.size() >= sizeof family) std::memcpy(&family, address.data(), sizeof family);
  return family;
}

std::optional<std::string> path_of(const Address& address) {
  constexpr std::size_t kBegin = offsetof(sockaddr_un, sun_path);
  if (family_of(address) != AF_UNIX || address.size() <= kBegin || address[kBegin] == 0) return std::nullopt;
  const std::string path(address.begin() + kBegin, address.end());
  return std::string(path.c_str());
}

std::string printable(const Address& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (family_of(address) == AF_INET) {
    const auto* in = as<sockaddr_in>(address);
    ::inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(in->sin_port));
  }
  if (family_of(address) == AF_INET6) {
    const auto* in6 = as<sockaddr_in6>(address);
    if (in6 == nullptr) return "";
    ::inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(in6->sin6_port));
  }
  if (const auto path = path_of(address)) return *path;
  if (family_of(address) != AF_UNIX || address.size() <= offsetof(sockaddr_un, sun_path)) return "";
  return "@" + std::string(address.begin() + offsetof(sockaddr_un, sun_path) + 1, address.end());
}

Result<std::optional<Socket>> SocketSaver::open(std::size_t description) {
  const Fd& fd = objects_.descriptions[description].first();
  Socket socket;
  socket.description = description;
  socket.inode = fd.inode;
  socket.flags = fd.flags;
  socket.where = fd.where();
  auto duplicate = fd.duplicate();
  if (!duplicate.ok() && objects_.phase() == Phase::Before && duplicate.error().error == EBADF)
    return std::optional<Socket>();
  socket.duplicate = STASIS_TRY(std::move(duplicate));
  const auto type = socket_option(socket.duplicate, SOL_SOCKET, SO_TYPE);
  if (!type.ok()) {
    // Another file has the number by now.
    if (objects_.phase() == Phase::Before) return std::optional<Socket>();
    return Error(type.error()).with_pid(fd.owner->pid).with_fd(fd.number);
  }
  socket.kind.type = type.value();
  socket.kind.family = STASIS_TRY(socket_option(socket.duplicate, SOL_SOCKET, SO_DOMAIN));
  socket.kind.protocol = STASIS_TRY(socket_option(socket.duplicate, SOL_SOCKET, SO_PROTOCOL));
  const auto listening = socket_option(socket.duplicate, SOL_SOCKET, SO_ACCEPTCONN);
  socket.listening = listening.ok() && listening.value() != 0;
  socket.name = address_of(socket.duplicate, Side::Local);
  socket.peer_name = address_of(socket.duplicate, Side::Remote);
  return std::optional<Socket>(std::move(socket));
}

Status SocketSaver::save() {
  for (std::size_t i = 0; i < objects_.descriptions.size(); ++i) {
    Description& description = objects_.descriptions[i];
    if (description.saved || !description.first().link_starts("socket:[")) continue;
    description.saved = true;
    auto socket = STASIS_TRY(open(i));
    if (socket.has_value()) sockets_.emplace(socket->inode, std::move(*socket));
  }
  if (sockets_.empty()) return {};
  diagnosis_ = STASIS_TRY(SocketDiagnosis::open());
  for (const auto& [inode, socket] : sockets_) {
    if (socket.kind.family != AF_UNIX) continue;
    auto facts = diagnosis_->unix_socket(inode);
    if (facts.ok()) {
      for (const std::uint64_t waiting : facts.value().waiting) waiting_.emplace_back(inode, waiting);
      facts_.emplace(inode, std::move(facts).value());
    } else if (facts.error().kind != ErrorKind::NotFound) {
      return std::move(facts).error().with_pid(objects_.descriptions[socket.description].first().owner->pid);
    } else if (objects_.phase() == Phase::Stopped) {
      findings_.add(socket.where, "a UNIX socket whose other end the kernel does not tell",
                    "load the module unix_diag, or close it");
    }
  }
  for (const auto& [inode, socket] : sockets_) {
    if (done_.insert(inode).second) STASIS_TRY(save_one(socket));
  }
  for (image::Socket& record : image_.sockets) {
    for (image::Message& message : record.messages)
      message.sender = find_name(static_cast<std::uint16_t>(record.family), SOCK_DGRAM, message.from);
  }
  return order_waiting();
}

Status SocketSaver::save_one(const Socket& socket) {
  const bool internet = socket.kind.family == AF_INET || socket.kind.family == AF_INET6;
  const bool tcp = internet && socket.kind.type == SOCK_STREAM && socket.kind.protocol == IPPROTO_TCP;
  if (socket.listening && (tcp || socket.kind.family == AF_UNIX)) return save_listener(socket);
  if (socket.kind.family == AF_UNIX) return save_unix(socket);
  if (tcp) return save_tcp(socket);
  if (internet && socket.kind.type == SOCK_DGRAM && socket.kind.protocol == IPPROTO_UDP) return save_udp(socket);
  findings_.add(socket.where, (socket.listening ? "a listening socket, " : "") + name_of_kind(socket),
                "close it before the checkpoint");
  return {};
}

std::string SocketSaver::directory_for(const Socket& socket, const Address& name) const {
  const auto path = path_of(name);
  if (!path || path->front() == '/') return "";
  const auto here = procfs::read_link(objects_.descriptions[socket.description].first().owner->pid, "cwd");
  return here.ok() ? here.value() : "";
}

Status SocketSaver::add_options(const Socket& socket, std::vector<image::SocketOption>& options) const {
  if (objects_.phase() == Phase::Before) return {};
  options = STASIS_TRY(changed_options(socket.duplicate, socket.kind));
  return {};
}

// The object of the socket that is bound to the name, 0: none of the application's.
std::uint32_t SocketSaver::find_name(std::uint16_t family, int type, const Address& name) const {
  if (name.empty()) return 0;
  for (const auto& [inode, socket] : sockets_) {
    if (socket.kind.family == family && socket.kind.type == type && !socket.listening && socket.name == name)
      return objects_.descriptions[socket.description].first().object;
  }
  return 0;
}

// UDP and UNIX sockets by themselves.
Status SocketSaver::save_single(const Socket& socket, image::Socket record, bool has_queue) {
  record.object = objects_.next();
  record.family = static_cast<std::uint32_t>(socket.kind.family);
  record.socket_type = static_cast<std::uint32_t>(socket.kind.type);
  record.protocol = static_cast<std::uint32_t>(socket.kind.protocol);
  record.flags = socket.flags;
  record.name = socket.name;
  record.printable = printable(socket.name);
  if (!record.peer_name.empty())
    record.printable += (record.printable.empty() ? "to " : " to ") + printable(record.peer_name);
  record.directory = directory_for(socket, socket.name);
  if (record.directory.empty()) record.directory = directory_for(socket, record.peer_name);
  STASIS_TRY(add_options(socket, record.options));
  becomes(socket, record.object);
  if (has_queue) queues_.push_back({socket.inode, record.object, Queue::Place::Single});
  image_.sockets.push_back(std::move(record));
  return {};
}

// What descriptors in flight have become by now goes into the messages.
Status SocketSaver::fill() {
  for (const Queue& queue : queues_) {
    const auto found = objects_.unix_queues.find(queue.inode);
    if (found == objects_.unix_queues.end()) continue;
    std::vector<image::Message> messages;
    bool plain = true;
    for (const UnixMessage& from : found->second) {
      image::Message& message = messages.emplace_back();
      message.data = from.data;
      message.from = from.from;
      const Socket& receiver = sockets_.at(queue.inode);
      message.sender = find_name(AF_UNIX, receiver.kind.type, from.from);
      for (const std::size_t right : from.rights) {
        const Fd& fd = objects_.descriptions[right].first();
        message.rights.push_back({fd.object, fd.end});
        plain = false;
      }
    }
    if (queue.place == Queue::Place::Single) {
      find_object(image_.sockets, queue.object).messages = std::move(messages);
      continue;
    }
    image::SocketPair& pair = find_object(image_.socket_pairs, queue.object);
    const bool first = queue.place == Queue::Place::PairFirst;
    if (plain && pair.socket_type == SOCK_STREAM) {
      auto& bytes = first ? pair.to_first : pair.to_second;
      for (const image::Message& message : messages)
        bytes.insert(bytes.end(), message.data.begin(), message.data.end());
    } else {
      for (image::Message& message : messages) message.sender = 0;  // the other end is
      (first ? pair.messages_to_first : pair.messages_to_second) = std::move(messages);
    }
  }
  return {};
}

}  // namespace stasis::checkpoint
