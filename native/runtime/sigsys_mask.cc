// The program's view of SIGSYS in its masks (see sigsys_mask.h). One word for each thread, at a place that its id gives:
// of two threads that meet there the later one is right, and the other sees SIGSYS unblocked.
#include "runtime/sigsys_mask.h"

#include "runtime/own_filters.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

constexpr u32 kThreads = 1024;
constexpr u32 kHeld = 8;

u32 g_blocked[kThreads];  // thread id, 0: none

struct HeldSignal {
  u32 thread;  // 0: free; kFilling while it is written
  u8 info[kSignalInfoBytes];
};
constexpr u32 kFilling = ~0u;
HeldSignal g_held[kHeld];
u32 g_held_count;  // how many are in use, or more

constexpr u32 kAnyThread = 1;

HeldSignal* held_of(u32 thread) {
  for (HeldSignal& held : g_held) {
    if (__atomic_load_n(&held.thread, __ATOMIC_ACQUIRE) == thread) return &held;
  }
  return nullptr;
}

}  // namespace

u32 sigsys_thread() { return may_call(kOwnThreadId) ? static_cast<u32>(raw_syscall(__NR_gettid)) : kAnyThread; }

bool sigsys_blocked(u32 thread) { return __atomic_load_n(&g_blocked[thread % kThreads], __ATOMIC_RELAXED) == thread; }

void set_sigsys_blocked(bool blocked, u32 thread) {
  u32* word = &g_blocked[thread % kThreads];
  u32 expected = thread;
  if (blocked) {
    __atomic_store_n(word, thread, __ATOMIC_RELAXED);
  } else {
    __atomic_compare_exchange_n(word, &expected, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }
}

void hold_sigsys(const void* info) {
  const u32 thread = sigsys_thread();
  if (held_of(thread) != nullptr) return;
  for (HeldSignal& held : g_held) {
    u32 none = 0;
    if (!__atomic_compare_exchange_n(&held.thread, &none, kFilling, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      continue;
    memcpy(held.info, info, sizeof held.info);
    __atomic_fetch_add(&g_held_count, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&held.thread, thread, __ATOMIC_RELEASE);
    return;
  }
}

bool sigsys_held() { return __atomic_load_n(&g_held_count, __ATOMIC_RELAXED) != 0; }

bool take_held_sigsys(void* info) {
  if (!sigsys_held()) return false;
  HeldSignal* held = held_of(sigsys_thread());
  if (held == nullptr) return false;
  memcpy(info, held->info, sizeof held->info);
  __atomic_store_n(&held->thread, 0, __ATOMIC_RELEASE);
  __atomic_fetch_sub(&g_held_count, 1, __ATOMIC_RELAXED);
  return true;
}

}  // namespace stasis::runtime
