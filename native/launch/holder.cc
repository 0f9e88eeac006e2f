#include "launch/holder.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "base/deadline.h"
#include "os/file.h"

namespace stasis::launch {

namespace {

constexpr char kDoing[] = "holding the application's TCP connections";
constexpr auto kTime = std::chrono::seconds(10);

Status tell(int socket, const wire::HeldRequest& request, const std::vector<int>& fds) {
  iovec vector{const_cast<wire::HeldRequest*>(&request), sizeof request};
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  if (::sendmsg(socket, &message, MSG_NOSIGNAL) != sizeof request) return Error::of_errno("sendmsg", kDoing);
  return {};
}

// One request and its answer.
Status converse(int socket, const wire::HeldRequest& request, const std::vector<int>& fds, wire::HeldAnswer& answer) {
  STASIS_TRY(tell(socket, request, fds));
  const Deadline deadline = Deadline::in(kTime);
  while (true) {
    pollfd readable{socket, POLLIN, 0};
    const int ready = ::poll(&readable, 1, deadline.milliseconds_left());
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return Error::of_errno("poll", kDoing);
    if (ready == 0) return Error::of_errno(ETIMEDOUT, "poll", kDoing);
    const ssize_t got = ::recv(socket, &answer, sizeof answer, 0);
    if (got == sizeof answer) return {};
    return got < 0 ? Error::of_errno("recv", kDoing) : Error::of_errno(EPIPE, "recv", kDoing);
  }
}

}  // namespace

std::string name_of_holder(std::uint64_t records_checksum, std::uint64_t created_ns) {
  char name[wire::kHeldNameBytes];
  std::snprintf(name, sizeof name, "stasis-%016lx-%016lx", records_checksum, created_ns);
  return name;
}

std::vector<std::uint8_t> address_of_holder(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&address);
  return {raw, raw + offsetof(sockaddr_un, sun_path) + 1 + name.size()};
}

Result<Holder> Holder::start(const std::string& keeper, const std::string& image) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return Error::of_errno("socketpair", kDoing);
  UniqueFd ours(pair[0]), its(pair[1]);
  const UniqueFd nothing = STASIS_TRY(open_file_at(AT_FDCWD, "/dev/null", O_RDWR, 0, kDoing));
  Spawn spawn;
  spawn.path = keeper;
  spawn.arguments = {keeper, "--hold", image};
  spawn.cwd = "/";
  spawn.stdio = {nothing.get(), nothing.get(), nothing.get()};
  spawn.passed = {its.get()};
  auto spawning = STASIS_TRY(Spawning::begin(std::move(spawn)));
  STASIS_TRY(spawning->finish(Deadline::in(kTime)));
  return Holder(std::move(ours));
}

Status Holder::say(const wire::HeldRequest& request, const std::vector<int>& fds) {
  wire::HeldAnswer answer{};
  STASIS_TRY(converse(control_.get(), request, fds, answer));
  if (answer.error != 0) return Error::of_errno(answer.error, "", kDoing);
  return {};
}

Status Holder::guard(int socket, int reuse, std::uint32_t flags) {
  wire::HeldRequest request{.verb = wire::HeldVerb::Guard};
  request.reuse = reuse;
  request.flags = flags;
  ++guarded_;
  return tell(control_.get(), request, {socket});
}

Status Holder::ending(const std::string& name, std::uint32_t seconds, int application) {
  wire::HeldRequest request{.verb = wire::HeldVerb::Ending};
  request.seconds = seconds;
  std::memcpy(request.name, name.data(), name.size());
  wire::HeldAnswer answer{};
  STASIS_TRY(converse(control_.get(), request, {application}, answer));
  // What it could not take it would not hold.
  if (answer.error == 0 && answer.count != guarded_) answer.error = EMFILE;
  if (answer.error != 0) return Error::of_errno(answer.error, "", kDoing);
  return {};
}

Status Holder::done() { return say({.verb = wire::HeldVerb::Done}); }

Status Holder::keep(const Kept& kept) {
  wire::HeldRequest request{.verb = wire::HeldVerb::Keep};
  request.reuse = kept.reuse;
  request.send_buffer = kept.send_buffer;
  request.flags = kept.shut_down ? wire::kHeldShutDown : 0;
  request.unsent_bytes = kept.unsent.size();
  if (kept.unsent.empty()) return say(request, {kept.socket});
  const UniqueFd unsent(::memfd_create("stasis-unsent", MFD_CLOEXEC));
  if (!unsent) return Error::of_errno("memfd_create", kDoing);
  STASIS_TRY(write_at(unsent.get(), kept.unsent, 0, "bytes to be sent"));
  return say(request, {kept.socket, unsent.get()});
}

Status Holder::hold(const std::string& name, std::uint32_t seconds) {
  wire::HeldRequest request{.verb = wire::HeldVerb::Hold};
  request.seconds = seconds;
  std::memcpy(request.name, name.data(), name.size());
  return say(request);
}

namespace {

Error nobody() { return Error::plain(ErrorKind::NotFound, "nobody holds the connections of this image"); }

Result<UniqueFd> reach(const std::string& name) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return Error::of_errno("socket", kDoing);
  const auto address = address_of_holder(name);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(address.data()),
                static_cast<socklen_t>(address.size())) != 0)
    return nobody();
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
      (peer.uid != 0 && peer.uid != ::geteuid()))
    return nobody();
  return socket;
}

}  // namespace

Status ask_holder(const std::string& name, std::size_t connections) {
  const UniqueFd socket = STASIS_TRY(reach(name));
  wire::HeldAnswer answer{};
  STASIS_TRY(converse(socket.get(), {.verb = wire::HeldVerb::Ask}, {}, answer));
  if (answer.error != 0 || answer.count != connections) return nobody();
  return {};
}

void reset_held(const std::string& name) {
  const auto socket = reach(name);
  wire::HeldAnswer answer{};
  if (socket.ok()) (void)converse(socket.value().get(), {.verb = wire::HeldVerb::Reset}, {}, answer);
}

}  // namespace stasis::launch
