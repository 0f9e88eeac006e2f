// What is said to the holder of TCP connections (keeper/holder.h): a process that has duplicates of sockets whose peers are
// outside the application, while the application is being saved, away, or being made again. One request is one packet
// of a SOCK_SEQPACKET connection, and each but Guard, for which a stopped application should not have to wait, has one answer.
// Two kinds of connection:
//
//     control   a pair with whoever started it, a checkpoint or a restore, on descriptor kHeldControlFd
//     taker     a connection to its name, an abstract UNIX address, by a restore on this host
//
//     checkpoint: Guard... ---> Ending ---> (the application is ended) ---> Hold ---> waits for takers
//                        +----> Done: the application goes on
//     restore:    Keep... ----------------------------------------------> Hold ---> waits for takers
//     taker:      Ask, Take..., Go: the connections are the taker's, and the holder ends
//
// The end of a control connection without a word means that its owner was killed, the end of a taker's that its restore has
// failed: holder.h says what follows.
#pragma once

#include "wire/types.h"

namespace stasis::wire {

inline constexpr i32 kHeldControlFd = 3;
inline constexpr u64 kHeldNameBytes = 48;  // with the zero at the end; the abstract address has a zero before it

enum class HeldVerb : u32 {
  Guard = 1,  // with the application's socket: what is done to it is to be undone if the checkpoint is killed
  Ending,     // with a pidfd of the application: if that has ended, its connections are to be held. Answer: count
  Done,       // what was guarded is as it was
  Keep,       // with a socket made for a restore and the bytes that it has yet to send, in a memfd
  Hold,       // from now on for takers, for `seconds`
  Ask,        // answer: count
  Take,       // answer: the socket numbered `index`
  Go,         // all connections go on
  Reset,      // all connections end, and the peers see that
};

// HeldRequest::flags of Guard
inline constexpr u32 kHeldFiltered = 1;  // a filter that lets nothing in is attached, or is about to be
// and of Keep
inline constexpr u32 kHeldShutDown = 2;  // for writing, behind the last byte

struct HeldRequest {
  HeldVerb verb;
  u32 index;                  // Take
  u32 flags;                  // Guard, Keep
  u32 seconds;                // Hold
  i32 reuse;                  // Guard, Keep: SO_REUSEADDR as the program has set it
  u32 send_buffer;            // Keep: SO_SNDBUF as the program has set it, 0: not
  u64 unsent_bytes;           // Keep
  char name[kHeldNameBytes];  // Ending, Hold
};

struct HeldAnswer {
  i32 error;  // 0, or an errno: what was asked for has not been done
  u32 count;  // of the connections
};

}  // namespace stasis::wire
