#include "launch/control_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace stasis::launch {

namespace {

constexpr std::size_t kMaxAnswerBytes = 16 * 1024;
constexpr int kRetryMs = 5;

Error no_keeper(int error, const std::string& path) {
  Error result = Error::of_errno(error, "connect", "no keeper answers").with_path(path);
  if (error == ECONNREFUSED) result.kind = ErrorKind::NotFound;
  return result;
}

}  // namespace

Error ControlClient::failed(const char* syscall, const char* doing) const {
  return Error::of_errno(syscall, doing).with_path(path_);
}

Result<ControlClient> ControlClient::connect(const std::string& path, Deadline deadline) {
  const std::size_t slash = path.rfind('/');
  const std::string directory_path = slash == path.npos ? "." : path.substr(0, slash + 1);
  UniqueFd directory(open(directory_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return no_keeper(errno, path);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // The magic link of a descriptor is short, whatever the directory's path is.
  int length = std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory.get(),
                             path.c_str() + (slash == path.npos ? 0 : slash + 1));
  if (length >= static_cast<int>(sizeof address.sun_path)) return no_keeper(ENAMETOOLONG, path);

  ControlClient client(UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)), path);
  if (!client.fd_) return client.failed("socket", "connecting to the keeper");
  while (::connect(client.fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    // A UNIX socket with a full backlog answers EAGAIN and cannot be polled for room (connect(2)).
    if (errno != EAGAIN && errno != EINTR) return no_keeper(errno, path);
    if (deadline.passed()) return Error::plain(ErrorKind::Timeout, "connecting to the keeper").with_path(path);
    if (errno == EAGAIN) poll(nullptr, 0, kRetryMs);
  }
  return client;
}

Status ControlClient::wait_until(short events, Deadline deadline, int cancel_fd) {
  for (;;) {
    pollfd entries[2] = {{fd_.get(), events, 0}, {cancel_fd, POLLIN, 0}};
    int ready = poll(entries, 2, deadline.milliseconds_left());
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return failed("poll", "waiting for the keeper");
    if (entries[1].revents != 0)
      return Error::plain(ErrorKind::Cancelled, "cancelled while waiting for the keeper").with_path(path_);
    if (ready == 0) return Error::plain(ErrorKind::Timeout, "the keeper did not answer in time").with_path(path_);
    return {};
  }
}

Result<std::string> ControlClient::request(const std::string& line, Deadline deadline, int cancel_fd) {
  std::string sending = line + "\n";
  while (!sending.empty()) {
    STASIS_TRY(wait_until(POLLOUT, deadline, cancel_fd));
    ssize_t sent = send(fd_.get(), sending.data(), sending.size(), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (sent < 0) return failed("send", "asking the keeper");
    sending.erase(0, static_cast<std::size_t>(sent));
  }
  for (;;) {
    if (std::size_t end = received_.find('\n'); end != received_.npos) {
      std::string answer = received_.substr(0, end);
      received_.erase(0, end + 1);
      return answer;
    }
    if (received_.size() > kMaxAnswerBytes)
      return Error::plain(ErrorKind::Failed, "the keeper's answer has no end").with_path(path_);
    STASIS_TRY(wait_until(POLLIN, deadline, cancel_fd));
    char buffer[4096];
    ssize_t got = recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got < 0) return failed("recv", "reading the keeper's answer");
    if (got == 0) return Error::plain(ErrorKind::Failed, "the keeper ended without an answer").with_path(path_);
    received_.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace stasis::launch
