// From a call number to its handler where resource ids are translated. A call that has no case here is handled as in an
// application without ids.
#include "runtime/ids.h"
#include "runtime/net.h"
#include "runtime/syscall.h"
#include "runtime/trap.h"

namespace stasis::runtime {

i64 dispatch_ids(Trap& trap) {
  if (copies_descriptor(trap)) return trapped_signalfd_copy(trap);
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
    case __NR_sendmsg:
    case __NR_sendmmsg:
    case __NR_recvmsg:
    case __NR_recvmmsg:
      return is_net_message(trap.arguments[0]) ? trapped_net_message(trap) : trapped_message(trap);
    case __NR_getsockopt:
      return is_six_only_query(trap) ? dispatch_net(trap) : trapped_getsockopt(trap);
    case __NR_getpid:
    case __NR_gettid:
    case __NR_getppid:
    case __NR_getpgrp:
    case __NR_getpgid:
    case __NR_getsid:
    case __NR_setpgid:
    case __NR_setsid:
    case __NR_set_tid_address:
    case __NR_getpriority:
    case __NR_setpriority:
    case __NR_ioprio_get:
    case __NR_ioprio_set:
    case __NR_sched_getparam:
    case __NR_sched_setparam:
    case __NR_sched_getscheduler:
    case __NR_sched_setscheduler:
    case __NR_sched_getaffinity:
    case __NR_sched_setaffinity:
    case __NR_sched_getattr:
    case __NR_sched_setattr:
    case __NR_sched_rr_get_interval:
    case __NR_prlimit64:
    case __NR_migrate_pages:
    case __NR_move_pages:
    case __NR_get_robust_list:
    case __NR_process_vm_readv:
    case __NR_process_vm_writev:
    case __NR_kcmp:
    case __NR_pidfd_open:
    case __NR_perf_event_open:
    case __NR_prctl:
      return trapped_identity(trap);
    case __NR_capget:
    case __NR_capset:
      return trapped_capability(trap);
    case __NR_kill:
    case __NR_tkill:
    case __NR_tgkill:
    case __NR_rt_sigqueueinfo:
    case __NR_rt_tgsigqueueinfo:
    case __NR_pidfd_send_signal:
      return trapped_kill(trap);
    case __NR_rt_sigtimedwait:
      return trapped_sigtimedwait(trap);
    case __NR_signalfd:
    case __NR_signalfd4:
      return trapped_signalfd(trap);
    case __NR_read:
    case __NR_readv:
    case __NR_preadv2:
      return trapped_signalfd_read(trap);
    case __NR_wait4:
    case __NR_waitid:
      return trapped_wait(trap);
    case __NR_open:
    case __NR_openat:
    case __NR_openat2:
    case __NR_stat:
    case __NR_lstat:
    case __NR_newfstatat:
    case __NR_statx:
    case __NR_access:
    case __NR_faccessat:
    case __NR_faccessat2:
    case __NR_readlink:
    case __NR_readlinkat:
    case __NR_chdir:
    case __NR_statfs:
    case __NR_utimensat:
    case __NR_inotify_add_watch:
      return trapped_path_call(trap);
    case __NR_getcwd:
      return trapped_getcwd(trap);
    case __NR_getdents:
    case __NR_getdents64:
      return trapped_getdents(trap);
    case __NR_close:
    case __NR_fstat:
    case __NR_dup:
    case __NR_dup2:
    case __NR_dup3:
    case __NR_close_range:
      return trapped_fd_call(trap);
    case __NR_ptrace:
      return trapped_ptrace(trap);
    case __NR_fcntl:
      return trapped_fcntl(trap);
    case __NR_ioctl:
      return trapped_ioctl(trap);
    case __NR_exit_group:
      return trapped_exit(trap);
    case __NR_futex:
      return trapped_futex(trap);
    case __NR_shmget:
    case __NR_shmat:
    case __NR_shmctl:
    case __NR_semget:
    case __NR_semop:
    case __NR_semtimedop:
    case __NR_semctl:
    case __NR_msgget:
    case __NR_msgsnd:
    case __NR_msgrcv:
    case __NR_msgctl:
      return trapped_ipc(trap);
    case __NR_timer_create:
    case __NR_timer_settime:
    case __NR_timer_gettime:
    case __NR_timer_getoverrun:
    case __NR_timer_delete:
      return trapped_posix_timer(trap);
    case __NR_clock_settime:
    case __NR_clock_gettime:
    case __NR_clock_getres:
    case __NR_clock_nanosleep:
      return trapped_process_clock(trap);
    default:
      return dispatch_base(trap);
  }
}

}  // namespace stasis::runtime
