// capget and capset: whose capabilities is a number in a header in memory, which the kernel also writes to: the version
// that it would understand, if it does not know the one given (capget(2)).
#include <linux/capability.h>

#include "runtime/ids_target.h"
#include "runtime/program_memory.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

i64 trapped_capability(Trap& trap) {
  __user_cap_header_struct header;
  if (read_program(&header, trap.arguments[0], sizeof header) < 0) return -EFAULT;
  const u32 version = header.version;
  header.pid = static_cast<i32>(verified_argument(static_cast<u64>(header.pid)));
  const i64 result = raw_syscall(static_cast<i64>(trap.number), &header, trap.arguments[1]);
  if (header.version != version &&
      write_program(trap.arguments[0] + __builtin_offsetof(__user_cap_header_struct, version), &header.version,
                    sizeof header.version) < 0) {
    return -EFAULT;
  }
  return result;
}

}  // namespace stasis::runtime
