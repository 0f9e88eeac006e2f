// What is queued in a socket, read without taking anything out.
//
// SO_PEEK_OFF walks over a queue message by message, or over a stream (socket(7); UNIX since 3.4, UDP since 4.10). It belongs to the
// socket, so the program's value is put back at once; meanwhile the program must be stopped. A message without bytes is found by the first
// walk only, because the kernel counts it as peeked (net/core/datagram.c); one in front of the queue is found always.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "os/unique_fd.h"

namespace stasis::checkpoint {

struct QueuedMessage {
  std::vector<std::uint8_t> data;
  std::vector<std::uint8_t> from;  // the sender's address as recvmsg gives it; empty for none
  std::vector<UniqueFd> rights;    // duplicates of the descriptors that travel with it (SCM_RIGHTS)
};

enum class QueueKind { Stream, Messages };

// Of a stream: a message for each run of bytes. Descriptors come with the last byte of the message that has them: a program that
// receives whole messages gets them where it would have.
Result<std::vector<QueuedMessage>> read_queue(const UniqueFd& socket, QueueKind kind);

// The bytes to be read from a TCP socket.
Result<std::vector<std::uint8_t>> read_tcp_queue(const UniqueFd& socket);

// An error waits to be taken by the program's next call (poll(2), POLLERR).
bool has_pending_error(const UniqueFd& socket);

}  // namespace stasis::checkpoint
