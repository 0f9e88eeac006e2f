// From a call number to its handler where resource ids are translated. A call that has no case here is handled as in an
// application without ids.
#include "runtime/ids.h"
#include "runtime/net.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

i64 dispatch_ids(Trap& trap) {
  switch (trap.number) {
    case __NR_fork:
    case __NR_vfork:
    case __NR_clone:
      return trapped_clone(trap);
    case __NR_bind:
    case __NR_listen:
    case __NR_connect:
    case __NR_accept:
    case __NR_accept4:
    case __NR_getsockname:
    case __NR_getpeername:
    case __NR_sendto:
    case __NR_recvfrom:
      return dispatch_net(trap);
    case __NR_getsockopt:
      if (is_six_only_query(trap)) return dispatch_net(trap);
      return dispatch_base(trap);
    default:
      return dispatch_base(trap);
  }
}

}  // namespace stasis::runtime
