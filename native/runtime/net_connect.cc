// connect(2) in an environment.
#include "runtime/net.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

i64 trapped_connect(Trap& trap) {
  const i32 fd = static_cast<i32>(trap.arguments[0]);
  SocketName name;
  if (!read_name(&name, trap.arguments[1], trap.arguments[2])) return blocking_call(trap);
  Destination destination;
  i64 result;
  if (!find_destination(fd, name, &destination, &result)) return result < 0 ? result : blocking_call(trap);
  // Bound first, or the kernel would choose 127.0.0.1 and the other side could not tell who this is. A call that was
  // interrupted and is issued again finds it done.
  result = give_source(fd, destination.transport, destination.source);
  if (result < 0) return result;
  trap.arguments[1] = reinterpret_cast<u64>(destination.name.bytes);
  trap.arguments[2] = destination.name.length();
  return blocking_call(trap);
}

}  // namespace stasis::runtime
