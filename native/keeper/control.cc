#include "keeper/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "keeper/options.h"

namespace stasis::keeper {

namespace {

constexpr char kSocketFile[] = "control.sock";

// A client's line may ask for at most this much work before the others have their turn.
constexpr int kLinesPerTurn = 16;

void format_answer(const ApplicationStatus& status, char* text, size_t capacity) {
  switch (status.state) {
    case State::Starting:
      snprintf(text, capacity, "starting\n");
      break;
    case State::Running:
      snprintf(text, capacity, "running %d %lu\n", status.pid, status.start);
      break;
    case State::Exited:
      snprintf(text, capacity, "exited %d\n", status.code);
      break;
    case State::Signaled:
      snprintf(text, capacity, "signaled %d\n", status.signal);
      break;
    case State::Checkpointed:
      snprintf(text, capacity, "checkpointed %s\n", status.snapshot);
      break;
  }
}

}  // namespace

Request parse_request(const char* line) {
  Request request;
  auto rest_after = [&](const char* word) -> const char* {
    size_t length = strlen(word);
    return strncmp(line, word, length) == 0 && line[length] == ' ' ? line + length + 1 : nullptr;
  };
  long number = 0;
  if (strcmp(line, "status") == 0) {
    request.verb = Verb::Status;
  } else if (strcmp(line, "wait") == 0) {
    request.verb = Verb::Wait;
  } else if (const char* signal = rest_after("signal");
             signal != nullptr && parse_number(signal, 0, SIGRTMAX, number)) {
    request.verb = Verb::Signal;
    request.number = static_cast<int>(number);
  } else if (const char* path = rest_after("checkpointed");
             path != nullptr && path[0] == '/' && strlen(path) < PATH_MAX) {
    request.verb = Verb::Checkpointed;
    request.path = path;
  }
  return request;
}

bool ControlSocket::open(int directory) {
  directory_ = directory;
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0) return false;
  // sun_path holds 108 bytes and the directory's path may be longer; the magic link of a descriptor is not.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, kSocketFile);
  if (unlinkat(directory, kSocketFile, 0) != 0 && errno != ENOENT) return false;
  mode_t mask = umask(0177);
  int bound = bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
  int error = errno;
  umask(mask);
  errno = error;
  return bound == 0 && listen(listener_, kMaxClients) == 0;
}

int ControlSocket::fill(pollfd* entries) const {
  int count = 0;
  entries[count++] = {listener_, POLLIN, 0};
  for (const Client& client : clients_) {
    if (client.fd >= 0) entries[count++] = {client.fd, POLLIN, 0};
  }
  return count;
}

void ControlSocket::handle(const pollfd* entries, int count, const ApplicationStatus& status, int (*signal)(int)) {
  for (Client& client : clients_) {
    for (int at = 1; at < count && client.fd >= 0; ++at) {
      if (entries[at].fd == client.fd && entries[at].revents != 0) {
        read_from(client, status, signal);
        break;
      }
    }
  }
  // Last, so that the number of a client dropped above cannot be taken for a newcomer's.
  if (entries[0].revents != 0) accept_clients();
}

void ControlSocket::accept_clients() {
  for (int accepted = 0; accepted < kMaxClients / 2; ++accepted) {
    int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    Client* place = place_for_newcomer();
    place->fd = fd;
    place->waits = false;
    place->used = 0;
    place->last_heard = ++ticks_;
    place->checkpoint[0] = '\0';
  }
}

ControlSocket::Client* ControlSocket::place_for_newcomer() {
  Client* oldest = nullptr;
  auto rank = [](const Client& client) { return client.checkpoint[0] != '\0' ? 2 : client.waits ? 1 : 0; };
  for (Client& client : clients_) {
    if (client.fd < 0) return &client;
    bool better = oldest == nullptr || rank(client) < rank(*oldest) ||
                  (rank(client) == rank(*oldest) && client.last_heard < oldest->last_heard);
    if (better) oldest = &client;
  }
  drop(*oldest);
  return oldest;
}

void ControlSocket::read_from(Client& client, const ApplicationStatus& status, int (*signal)(int)) {
  ssize_t got = recv(client.fd, client.line + client.used, static_cast<size_t>(kMaxLineBytes - client.used), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return drop(client);
  client.used += static_cast<int>(got);
  client.last_heard = ++ticks_;
  int begin = 0, lines = 0;
  while (client.fd >= 0) {
    void* found = memchr(client.line + begin, '\n', static_cast<size_t>(client.used - begin));
    if (found == nullptr) break;
    if (++lines > kLinesPerTurn) return drop(client);
    char* end = static_cast<char*>(found);
    *end = '\0';
    answer(client, client.line + begin, status, signal);
    begin = static_cast<int>(end - client.line) + 1;
  }
  if (client.fd < 0) return;
  client.used -= begin;
  memmove(client.line, client.line + begin, static_cast<size_t>(client.used));
  if (client.used == kMaxLineBytes) drop(client);
}

void ControlSocket::answer(Client& client, const char* line, const ApplicationStatus& status, int (*signal)(int)) {
  char text[PATH_MAX + 64];
  Request request = parse_request(line);
  switch (request.verb) {
    case Verb::Status:
      format_answer(status, text, sizeof text);
      return send_line(client, text);
    case Verb::Signal:
      if (int error = signal(request.number); error != 0) {
        snprintf(text, sizeof text, "error %d\n", error);
        return send_line(client, text);
      }
      return send_line(client, "ok\n");
    case Verb::Wait:
      client.waits = true;
      return;
    case Verb::Checkpointed:
      snprintf(client.checkpoint, sizeof client.checkpoint, "%s", request.path);
      return send_line(client, "ok\n");
    case Verb::Unknown:
      snprintf(text, sizeof text, "error %d\n", EINVAL);
      return send_line(client, text);
  }
}

void ControlSocket::send_line(Client& client, const char* text) {
  size_t length = strlen(text);
  if (send(client.fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT) != static_cast<ssize_t>(length)) drop(client);
}

void ControlSocket::drop(Client& client) {
  close(client.fd);
  client.fd = -1;
  client.waits = false;
  client.checkpoint[0] = '\0';
}

const char* ControlSocket::announced_checkpoint() const {
  for (const Client& client : clients_) {
    if (client.fd >= 0 && client.checkpoint[0] != '\0') return client.checkpoint;
  }
  return nullptr;
}

void ControlSocket::withdraw() {
  if (directory_ >= 0) unlinkat(directory_, kSocketFile, 0);
}

void ControlSocket::finish(const ApplicationStatus& status) {
  char text[PATH_MAX + 64];
  format_answer(status, text, sizeof text);
  for (Client& client : clients_) {
    if (client.fd >= 0 && client.waits) send_line(client, text);
  }
}

}  // namespace stasis::keeper
