// The working set: pages of the image that the program wrote soon after an earlier restore of it (keeper/working_set.h).
// The first of the program's other threads is made early and takes the faults for them, and so the copies of the pages,
// while the main thread rebuilds what needs no memory. At the gate it would only wait.
//
// Only a hint: whatever fails is left out, and what is not done in time stays for the program's own faults. No call is
// under way once the program runs, which may map something else at those addresses.
#include <linux/futex.h>
#include <linux/mman.h>

#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

constexpr u64 kPagesAtOnce = 4;  // what the main thread may have to wait for: some microseconds
constexpr u32 kSpins = 400;      // as long as one call takes; sleeping and waking takes longer

// A call is under way only in Calling and Awaited, so the main thread does not wait for a thread that has not got a
// processor yet.
enum State : u32 {
  kUnused,   // nothing to be done
  kIdle,     // thread 1 may begin a call
  kCalling,  // it is in one
  kAwaited,  // as before, and the main thread waits for its end
  kEnded,    // no further call
};

u32 g_state;  // futex
u64 g_pages;  // done

bool change_state(u32 from, u32 to) {
  return __atomic_compare_exchange_n(&g_state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

// False when it is to end, or where the kernel has no such call (before 5.14).
bool populate(u64 address, u64 pages) {
  if (!change_state(kIdle, kCalling)) return false;
  const i64 result = raw_syscall(__NR_madvise, address, pages * wire::kPageBytes, MADV_POPULATE_WRITE);
  if (result == 0) g_pages += pages;
  if (change_state(kCalling, kIdle)) return result != -EINVAL;
  __atomic_store_n(&g_state, static_cast<u32>(kEnded), __ATOMIC_RELEASE);
  raw_syscall(__NR_futex, &g_state, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  return false;
}

bool populate(const wire::WorkingSetRange& range) {
  for (u64 done = 0; done < range.pages; done += kPagesAtOnce) {
    const u64 left = range.pages - done;
    if (!populate(range.address + done * wire::kPageBytes, left < kPagesAtOnce ? left : kPagesAtOnce)) return false;
  }
  return true;
}

// With one processor the thread would only take its time from the main thread.
bool has_other_processor() {
  u64 mask[128];  // 8192 processors, as many as the kernel can be built for
  const i64 bytes = raw_syscall(__NR_sched_getaffinity, 0, sizeof mask, mask);
  if (is_error(bytes)) return false;
  u64 found = 0;
  for (i64 i = 0; i < bytes / 8 && found < 2; i++) {
    for (u64 word = mask[i]; word != 0 && found < 2; word &= word - 1) found++;
  }
  return found > 1;
}

}  // namespace

void start_working_set() {
  // Without a second thread there is little to do meanwhile, either.
  if (plan().working_set_count == 0 || (task().flags & wire::kTaskMainEnded) != 0 || plan().threads.count < 2 ||
      !has_other_processor())
    return;
  g_state = kIdle;
  create_threads(1, 2);
}

void populate_working_set() {
  if (__atomic_load_n(&g_state, __ATOMIC_ACQUIRE) != kIdle) return;
  const auto* ranges = reinterpret_cast<const wire::WorkingSetRange*>(wire::kPlanBase + plan().working_set);
  for (u32 i = 0; i < plan().working_set_count && populate(ranges[i]); i++) {
  }
}

void end_working_set() {
  if (g_state == kUnused) return;
  for (u32 i = 0; !change_state(kIdle, kEnded) && __atomic_load_n(&g_state, __ATOMIC_ACQUIRE) != kEnded; i++) {
    change_state(kCalling, kAwaited);
    if (i < kSpins) {
      __builtin_ia32_pause();
    } else {
      raw_syscall(__NR_futex, &g_state, FUTEX_WAIT_PRIVATE, static_cast<u32>(kAwaited), nullptr, nullptr, 0);
    }
  }
  if (report_page() != nullptr) report_page()->populated_pages = g_pages;
}

}  // namespace stasis::runtime
