// What a process has one of: memory layout, signal actions, clocks, directory and umask, interval timers.
#include <linux/prctl.h>

#include "runtime/clock.h"
#include "runtime/restore.h"
#include "runtime/signals.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::Step;

constexpr u32 kNoExeFd = ~0U;  // changing /proc/self/exe needs a privilege; the interposer answers for it instead

struct KernelMemoryMap {  // struct prctl_mm_map
  wire::MemoryLayout layout;
  u64 auxv;
  u32 auxv_bytes;
  u32 exe_fd;
};
static_assert(sizeof(KernelMemoryMap) == 104);

}  // namespace

void set_memory_layout() {
  KernelMemoryMap map = {.layout = plan().layout,
                         .auxv = wire::kPlanBase + plan().auxv,
                         .auxv_bytes = static_cast<u32>(plan().auxv_bytes),
                         .exe_fd = kNoExeFd};
  i64 result = raw_syscall(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
  if (result == -EINVAL) {
    // The vector may come from a kernel that keeps more entries than this one has room for. It is what /proc/self/auxv
    // shows; the program's own copy lies on its stack.
    map.auxv = 0;
    map.auxv_bytes = 0;
    result = raw_syscall(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
  }
  must(result, Step::SetMemoryMap);
}

void set_actions() {
  // What is not listed has its default action, whatever was inherited. Straight to the kernel: the interposer starts
  // out with defaults.
  const wire::KernelSigaction none = {};
  for (u32 signal = 1; signal <= wire::kSignalCount; signal++) {
    raw_syscall(__NR_rt_sigaction, signal, &none, nullptr, sizeof none.mask);  // EINVAL for SIGKILL and SIGSTOP
  }
  const auto* entries = plan_entries<wire::SigactionEntry>(plan().actions);
  for (u64 i = 0; i < plan().actions.count; i++) {
    must(set_action(entries[i].signal, &entries[i].action, nullptr), Step::SetAction, entries[i].signal);
  }
}

void set_clocks() {
  set_clock_offsets(group().monotonic_ns - host_clock_ns(kClockMonotonic),
                    group().boottime_ns - host_clock_ns(kClockBoottime));
}

void set_directory(u64 cwd, u32 umask) {
  const char* path = plan_text(cwd);
  const i64 result = raw_syscall(__NR_chdir, path);
  if (result != -ENOENT || !enter_removed_directory(path)) must(result, Step::SetCwd, 0, 0, path);
  raw_syscall(__NR_umask, umask);
}

void arm_itimers() {
  for (u32 which = 0; which < 3; which++) {
    const i64* timer = plan().itimers[which];
    if (timer[0] == 0 && timer[1] == 0 && timer[2] == 0 && timer[3] == 0) continue;
    raw_syscall(__NR_setitimer, which, timer, nullptr);  // EINVAL only for times that the host has refused
  }
}

}  // namespace stasis::runtime
