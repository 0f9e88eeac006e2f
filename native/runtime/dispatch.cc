// From a call number to its handler. The numbers are those of the filter's table (filter_calls.h); a number that is not here
// was trapped by mistake and is passed on.
#include "runtime/ids.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"
#include "runtime/watches.h"

namespace stasis::runtime {

i64 dispatch(Trap& trap) {
  if (ids_on()) return dispatch_ids(trap);
  return dispatch_base(trap);
}

i64 dispatch_base(Trap& trap) {
  switch (trap.number) {
    case __NR_rt_sigaction:
      return trapped_sigaction(trap);
    case __NR_rt_sigprocmask:
      return trapped_sigprocmask(trap);
    case __NR_rt_sigreturn:
      return trapped_sigreturn(trap);
    case __NR_rt_sigsuspend:
    case __NR_ppoll:
    case __NR_pselect6:
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2:
    case __NR_io_pgetevents:
      return trapped_masked_call(trap);
    case __NR_fork:
    case __NR_vfork:
    case __NR_clone:
      return trapped_clone(trap);
    case __NR_execve:
    case __NR_execveat:
      return trapped_exec(trap);
    case __NR_readlink:
    case __NR_readlinkat:
      return trapped_readlink(trap);
    case __NR_prctl:
    case __NR_seccomp:
      return trapped_seccomp(trap);
    case __NR_mmap:
      return trapped_reservation(trap);
    case __NR_inotify_add_watch:
      return trapped_add_watch(trap);
    case __NR_shmget:
    case __NR_semget:
    case __NR_msgget:
    case __NR_semop:
    case __NR_semtimedop:
      return trapped_ipc_base(trap);
    case __NR_add_key:
    case __NR_request_key:
    case __NR_keyctl:
      return trapped_keys(trap);
    case __NR_madvise:
    case __NR_mremap:
    case __NR_process_madvise:
      return trapped_memory_call(trap);
    default:
      return trapped_timed_call(trap);
  }
}

}  // namespace stasis::runtime
