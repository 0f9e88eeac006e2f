// The holder of TCP connections whose peers are outside the application: the same binary as the keeper, started as
//
//     stasis-keeper --hold IMAGE
//
// by a checkpoint or a restore, with its control connection on kHeldControlFd (wire/held.h). It has duplicates of the
// sockets, and with them:
//
//     guards   while an application is saved, undoes what was done to its sockets if the checkpoint is killed: repair
//              mode off, no filter
//     holds    when the application has been ended, keeps its connections from ending: no FIN or reset is sent, since
//              the sockets are still open, and what peers send is as if lost on the way, so they send it again
//     gives    its sockets to a restore on this host, and lets the connections go on in the instant in which that says
//              so; a restore that fails leaves it holding
//
// While it holds, the sockets are in repair mode, in which closing sends nothing: when its time is over, or it is killed,
// a peer that sends is reset by the kernel, which knows no such connection any more.
#pragma once

namespace stasis::keeper {

// Never more than one connection of a taker at a time. Returns the exit status.
int hold_connections();

}  // namespace stasis::keeper
