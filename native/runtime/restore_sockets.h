// What the files about sockets of a restored process share. The order, over all sockets of the application:
//
//     1. made, bound, pairs and connections put together, each end parked at its slot      create_*
//     2. their queues filled: descriptors in flight are other parked ends                  fill_sockets
//     3. connected, where that limits who may send to them; waiting connections            connect_sockets
//     4. shut down, options, flags; ends that nobody has are closed                        finish_sockets
#pragma once

#include "runtime/restore.h"
#include "wire/plan.h"

namespace stasis::runtime {

inline constexpr u32 kFamilyUnix = 1, kFamilyInet = 2, kFamilyInet6 = 10;  // AF_*
inline constexpr u32 kStreamSocket = 1, kDatagramSocket = 2;               // SOCK_*
inline constexpr u32 kLevelSocket = 1;                                     // SOL_SOCKET
inline constexpr u32 kReuseAddress = 2, kSendBuffer = 7, kReceiveBuffer = 8, kLinger = 13, kReusePort = 15;  // SO_*

// Reports CreateSocket if it fails.
void set_flag(i64 fd, u32 level, u32 option, bool on, const wire::FdEntry& entry);
void set_options(i64 fd, const wire::Array& options, const wire::FdEntry& entry, bool before_bind = false);

bool is_path(const u8* address, u32 bytes);  // the address names a file
// bind(2), in whose way a socket's file that was left over does not stand; connect(2); removal of the file that a bind made.
// Names that do not begin with '/' count from the entry's directory.
i64 bind_name(i64 fd, const u8* address, u32 bytes, const wire::FdEntry& entry);
i64 connect_name(i64 fd, const u8* address, u32 bytes, const wire::FdEntry& entry);
void unlink_name(const u8* address, u32 bytes, const wire::FdEntry& entry);

// restore_held.cc: whether there is something to let go; lets it go, as the last thing before the gate.
bool holds_connections();
void let_connections_go();

// Room for `bytes` in the send buffer, as far as this host allows.
void make_room(i64 fd, u32 option, u64 bytes);

// restore_unix.cc, restore_tcp.cc, restore_udp.cc: step 1, and step 2 for one socket.
void create_socket_pair(const wire::FdEntry& entry);
void create_socket(const wire::FdEntry& entry);
void create_tcp(const wire::FdEntry& entry);
void take_connection(const wire::FdEntry& entry);  // restore_held.cc
void fill_unix(const wire::FdEntry& entry);
void fill_udp(const wire::FdEntry& entry);

}  // namespace stasis::runtime
