// Installs the filter. filter_calls.h is the table of calls with their reasons, filter_program.cc makes a program of it.
#include "runtime/filter.h"

#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "runtime/filter_program.h"
#include "runtime/state.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

i64 install_filter(u32 parts, i32 parked_fd) {
  filter::Program program;  // 10 KiB of stack: at start and restore there is room
  if (!filter::write_program(parts, parked_fd, program)) return -E2BIG;
  const sock_fprog instructions{static_cast<u16>(program.length), program.code};
  i64 result = raw_syscall(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (result < 0) return result;
  // TSYNC: in a restore there may be a second thread (restore_working_set.cc). It gets the filter and no_new_privs, too.
  // SPEC_ALLOW (4.17): the filter is no sandbox, so kernels before 5.16 need not slow the program down with speculation
  // barriers.
  const u32 flags = (parts & kPartRestored) != 0 ? SECCOMP_FILTER_FLAG_TSYNC : 0;
  result = raw_syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &instructions);
  if (result == -EINVAL) result = raw_syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &instructions);
  if (result > 0) return -ESRCH;  // the id of a thread with a filter of its own
  if (result == 0) g_private.parts = parts;
  return result;
}

}  // namespace stasis::runtime
