// The control socket: `control.sock` in the application's directory, one text line each way.
//
//     status              -> running PID START | starting | exited CODE | signaled N | checkpointed PATH
//     signal N            -> ok | error ERRNO
//     wait                -> answered when the application has ended, as above
//     checkpointed PATH   -> ok; while this connection stays open, a death by SIGKILL is recorded as `checkpointed`
//     anything else       -> error 22 (EINVAL)
//
// Rules: nothing a client does may hold up the keeper or use up its memory. Every transfer is non-blocking; a client
// that does not read its answers, or sends more than a line may hold, is dropped; when all places are taken, the
// connection that has been silent longest gives way, those that wait or have announced a checkpoint last.
#pragma once

#include <limits.h>
#include <poll.h>

#include "keeper/status.h"

namespace stasis::keeper {

inline constexpr int kMaxClients = 48;
inline constexpr int kMaxLineBytes = PATH_MAX + 32;

enum class Verb { Status, Signal, Wait, Checkpointed, Unknown };

struct Request {
  Verb verb = Verb::Unknown;
  int number = 0;              // Signal
  const char* path = nullptr;  // Checkpointed; points into the line
};

// Parses a line without its newline.
Request parse_request(const char* line);

class ControlSocket {
 public:
  // Binds and listens, mode 0600; a socket file of that name left by a dead keeper is replaced. False with errno.
  bool open(int directory);

  // What to poll for: at most kMaxClients + 1 entries. Returns their number.
  int fill(pollfd* entries) const;

  // Handles what poll reported in the entries of fill(). `status` is what the application is doing now; `signal` sends
  // a signal to it and returns 0 or errno.
  void handle(const pollfd* entries, int count, const ApplicationStatus& status, int (*signal)(int));

  // The path that an open connection has announced, or null.
  const char* announced_checkpoint() const;

  // Removes the socket file; who is connected stays so.
  void withdraw();

  // Answers everybody who waits.
  void finish(const ApplicationStatus& status);

 private:
  struct Client {
    int fd = -1;
    bool waits = false;
    int used = 0;
    unsigned long last_heard = 0;
    char line[kMaxLineBytes + 1];
    char checkpoint[PATH_MAX];  // empty: none announced
  };

  void accept_clients();
  void read_from(Client& client, const ApplicationStatus& status, int (*signal)(int));
  void answer(Client& client, const char* line, const ApplicationStatus& status, int (*signal)(int));
  void send_line(Client& client, const char* text);
  static void drop(Client& client);
  Client* place_for_newcomer();

  int directory_ = -1;
  int listener_ = -1;
  unsigned long ticks_ = 0;
  Client clients_[kMaxClients];
};

}  // namespace stasis::keeper
