// A trapped system call on its way through the runtime.
#pragma once

#include "arch/x86_64/sigframe.h"
#include "runtime/fast_call.h"
#include "runtime/syscall.h"
#include "wire/types.h"
#include "wire/waits.h"

extern "C" {
// Issues a call for the program in the blocking window: arch/x86_64/blocking.S.
stasis::i64 stasis_blocking_call(stasis::arch::KernelUcontext* context, stasis::i64 number,
                                 const stasis::u64* arguments);
extern const char stasis_blocking_begin[], stasis_blocking_site[], stasis_blocking_after[], stasis_blocking_end[];
}

namespace stasis::runtime {

struct Trap {
  // Of the SIGSYS frame: what the program's thread was doing; edits take effect on return. In a fast call registers only,
  // and edits are lost.
  arch::KernelUcontext* context;
  u64 number;
  u64 arguments[6];  // a copy, which handlers may change before they issue the call
};

// The call's result, as the kernel would give it. Runs on the SIGSYS frame's stack, which may have little more than 1
// KiB left (posix_spawn of musl, small alternate stacks): frames stay small, larger work goes to a scratch stack.
i64 dispatch(Trap& trap);

// As in an application without resource ids of its own.
i64 dispatch_base(Trap& trap);

// Issues the call, with trap.arguments as they are now, where it can block and be interrupted. May not return: when a
// signal arrives, the thread is put back at the program's own call site (see handlers.h). So the caller
// holds nothing that only it could give back. In a fast call the program's mask is in force anyway.
inline i64 blocking_call(Trap& trap) {
  if (fast_call() != nullptr) return stasis_fast_issue(static_cast<i64>(trap.number), trap.arguments);
  return stasis_blocking_call(trap.context, static_cast<i64>(trap.number), trap.arguments);
}

// Issues a call that does not block. In a fast call, so that it is never made twice.
inline i64 issue_once(const Trap& trap) {
  const i64 number = static_cast<i64>(trap.number);
  if (fast_call() != nullptr) return stasis_fast_issue(number, trap.arguments);
  return raw_syscall(number, trap.arguments[0], trap.arguments[1], trap.arguments[2], trap.arguments[3],
                     trap.arguments[4], trap.arguments[5]);
}

// A call that the program was making when it was saved, for the time that was left: waits.cc.
i64 continue_wait(Trap& trap, const wire::WaitInfo& info);

// Handlers by subject.
i64 trapped_sigaction(Trap& trap);    // signals.cc
i64 trapped_sigprocmask(Trap& trap);  // masks.cc
i64 trapped_masked_call(
    Trap& trap);  // masks.cc: rt_sigsuspend, ppoll, pselect6, epoll_pwait, epoll_pwait2, io_pgetevents
i64 trapped_sigreturn(Trap& trap);    // masks.cc; returns only if the frame cannot be used
i64 trapped_clone(Trap& trap);        // births.cc: fork, vfork, clone
i64 trapped_exec(Trap& trap);         // exec.cc
i64 trapped_readlink(Trap& trap);     // exe_link.cc
i64 trapped_timed_call(Trap& trap);   // timed_calls.cc
i64 trapped_memory_call(Trap& trap);  // memory.cc
i64 trapped_reservation(Trap& trap);  // reservation.cc
i64 trapped_ipc_base(Trap& trap);     // ipc_notes.cc: semget, msgget, shmget, semop, semtimedop
i64 trapped_keys(Trap& trap);         // keys.cc: add_key, request_key, keyctl
i64 trapped_seccomp(Trap& trap);      // own_filters.cc: seccomp, prctl with PR_SET_SECCOMP

// Calls with resource ids, when there is a table (ids.h): ids_dispatch.cc. Each handler gives what the program is to see.
i64 dispatch_ids(Trap& trap);

i64 trapped_identity(
    Trap& trap);               // ids_process.cc: own ids, groups, sessions, scheduling, limits, other processes' memory
i64 trapped_kill(Trap& trap);  // ids_signal.cc: kill, tkill, tgkill, *sigqueueinfo, pidfd_send_signal
i64 trapped_sigtimedwait(Trap& trap);      // ids_signal.cc
i64 trapped_signalfd(Trap& trap);          // ids_signalfd.cc
i64 trapped_signalfd_read(Trap& trap);     // ids_signalfd.cc: read, readv, preadv2 of such a descriptor
i64 trapped_signalfd_copy(Trap& trap);     // ids_signalfd.cc
bool copies_descriptor(const Trap& trap);  // ids_signalfd.cc: dup and its like of such a descriptor
i64 trapped_wait(Trap& trap);              // ids_wait.cc: wait4, waitid
i64 trapped_exit(Trap& trap);              // ids_futex.cc: exit_group
i64 trapped_futex(Trap& trap);             // ids_futex.cc; absolute waits are handed to timed_calls.cc
i64 trapped_fcntl(Trap& trap);             // ids_fcntl.cc
i64 trapped_ioctl(Trap& trap);             // ids_fcntl.cc
i64 trapped_getsockopt(Trap& trap);        // ids_socket.cc
i64 trapped_message(Trap& trap);           // ids_socket.cc: sendmsg, sendmmsg, recvmsg, recvmmsg
i64 trapped_ipc(Trap& trap);               // ids_ipc.cc
i64 trapped_posix_timer(Trap& trap);       // ids_timer.cc: timer_*, mq_notify
i64 trapped_process_clock(Trap& trap);     // ids_timer.cc: clock_* of a process
i64 trapped_path_call(Trap& trap);         // ids_proc.cc
i64 trapped_getcwd(Trap& trap);            // ids_proc.cc
i64 trapped_getdents(Trap& trap);          // ids_dir.cc
i64 trapped_fd_call(Trap& trap);           // ids_fd.cc: calls that would touch the parked descriptor
i64 trapped_capability(Trap& trap);        // ids_capability.cc: capget, capset
i64 trapped_ptrace(Trap& trap);            // ids_ptrace.cc

}  // namespace stasis::runtime
