// TCP connections without their wire: the kernel's repair mode (TCP_REPAIR, 3.5), in which the state of a socket can be read and written and
// connecting and closing send nothing. Needs CAP_NET_ADMIN in the user namespace of the socket's network namespace.
//
// A socket in repair mode answers reads with EPERM, so one of a program must not stay in it: read_connection() turns it on and off again
// without waiting for anything in between. What turning it off changes by the way (SO_REUSEADDR) is put back.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "os/unique_fd.h"

namespace stasis {

struct TcpConnectionState {
  bool end_sent = false, end_received = false;  // FIN
  std::uint32_t send_sequence = 0;              // behind `to_send`, an end not counted
  std::uint32_t receive_sequence = 0;           // of what is to come; an end that was received is counted
  std::vector<std::uint8_t> received;           // and not read by the program yet
  std::vector<std::uint8_t> to_send;            // not acknowledged yet
  std::uint32_t unsent = 0;                     // how many of the last bytes of these have never been sent
  std::uint32_t segment = 0;                    // the peer's MSS
  std::uint32_t options = 0;                    // TCPI_OPT_* as negotiated
  std::uint32_t send_scale = 0, receive_scale = 0;
  std::uint32_t timestamp = 0;
  std::array<std::uint32_t, 5> window{};  // struct tcp_repair_window
};

// Whether this process may put the socket into repair mode. Changes nothing.
bool may_repair(int socket);

// The program must be stopped, and may not have a filter of its own on the socket if `filtered` is false. Packets keep
// arriving meanwhile: it is read again until nothing has moved, in the last resort behind a filter.
Result<TcpConnectionState> read_connection(int socket);

// Nothing arrives at the socket any more: to the peer it is as if packets were lost.
Status attach_drop_filter(int socket);
void detach_filter(int socket);
// How many instructions a filter has that was attached to it; 0: there is none.
unsigned filter_length(int socket);

// A socket with the state, in repair mode and behind a drop filter, its flags O_CLOEXEC and `status_flags`: nothing has been sent, and
// nothing arrives. Bytes never sent are not in it, nor an end behind them. Errors of bind and connect: EADDRNOTAVAIL from bind is an
// address that this host has not, EADDRINUSE and EADDRNOTAVAIL from connect a connection that is there already.
Result<UniqueFd> make_connection(const TcpConnectionState& state, const std::vector<std::uint8_t>& name,
                                 const std::vector<std::uint8_t>& peer_name, int status_flags);

}  // namespace stasis
