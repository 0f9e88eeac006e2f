// From a call number to its handler where resource ids are translated. A call that has no case here is handled as in an
// application without ids.
#include "runtime/ids.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

i64 dispatch_ids(Trap& trap) {
  switch (trap.number) {
    case __NR_fork:
    case __NR_vfork:
    case __NR_clone:
      return trapped_clone(trap);
    default:
      return dispatch_base(trap);
  }
}

}  // namespace stasis::runtime
