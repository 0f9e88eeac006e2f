// signalfds and pidfds of a restored process, and filters of its own.
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/wait.h>

#include "runtime/ids.h"
#include "runtime/ids_signal.h"
#include "runtime/notes.h"
#include "runtime/own_filters.h"
#include "runtime/restore.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::Step;

// Of a process that has ended: one that ends at once and is waited for.
i64 pidfd_of_nobody() {
  i32 fd = -1;
  const i64 child = raw_syscall(__NR_clone, CLONE_PIDFD, 0, &fd, 0, 0);  // without a signal at its end
  if (child == 0) raw_syscall(__NR_exit_group, 0);
  if (child < 0) return child;
  while (raw_syscall(__NR_wait4, child, nullptr, __WALL, nullptr) == -EINTR) {
  }
  return fd;
}

}  // namespace

void create_signalfd(const wire::FdEntry& entry) {
  const u64 mask = entry.value;
  park(must(raw_syscall(__NR_signalfd4, -1, &mask, sizeof mask, O_CLOEXEC | (entry.flags & O_NONBLOCK)),
            Step::CreateSignalfd, entry.image_fd),
       entry.slot, entry);
}

void open_pidfds() {
  const auto* entries = plan_entries<wire::PidfdEntry>(plan().pidfds);
  if (plan().pidfds.count != 0) wait_for(wire::Meeting::Born);
  for (u64 i = 0; i < plan().pidfds.count; i++) {
    const wire::PidfdEntry& entry = entries[i];
    const auto number = static_cast<u64>(entry.fd);
    i64 fd = entry.pid == 0 ? pidfd_of_nobody()
                            : raw_syscall(__NR_pidfd_open, system_of(entry.pid), entry.flags & O_NONBLOCK);
    must(fd, Step::OpenPidfd, number);
    if (fd == entry.fd) {
      raw_syscall(__NR_fcntl, fd, F_SETFD, entry.close_on_exec != 0 ? FD_CLOEXEC : 0);
      continue;
    }
    must(raw_syscall(__NR_dup3, fd, number, entry.close_on_exec != 0 ? O_CLOEXEC : 0), Step::OpenPidfd, number);
    raw_syscall(__NR_close, fd);
  }
}

void note_own_filters() {
  const auto* entries = plan_entries<wire::FilterEntry>(plan().filters);
  for (u64 i = 0; i < plan().filters.count; i++) {
    adopt_own_filter(
        {static_cast<u16>(entries[i].length), reinterpret_cast<sock_filter*>(wire::kPlanBase + entries[i].program)},
        entries[i].flags);
  }
}

void install_own_filters() {
  const auto* entries = plan_entries<wire::FilterEntry>(plan().filters);
  for (u64 i = 0; i < plan().filters.count; i++) {
    const sock_fprog program{static_cast<u16>(entries[i].length),
                             reinterpret_cast<sock_filter*>(wire::kPlanBase + entries[i].program)};
    raw_syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, entries[i].flags, &program);
  }
}

}  // namespace stasis::runtime
