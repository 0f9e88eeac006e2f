// Scratch memory (see scratch.h).
#include "runtime/scratch.h"

#include <linux/prctl.h>

#include "runtime/fast_call.h"
#include "runtime/syscall.h"

extern "C" stasis::i64 stasis_call_on_stack(void* top, stasis::i64 (*function)(void*), void* argument);

namespace stasis::runtime {

namespace {

Scratch g_scratch[kScratchSlots];

u32 thread_id() { return static_cast<u32>(raw_syscall(__NR_gettid)); }

// What a previous user left behind by leaving without release: only the argument vector outlives its process' exec.
void drop_large_vector(Scratch* scratch) {
  if (scratch->large_vector != 0) raw_syscall(__NR_munmap, scratch->large_vector, scratch->large_vector_bytes);
  scratch->large_vector = 0;
}

}  // namespace

Scratch* acquire_scratch() {
  give_up_fast_call();
  u32 self = thread_id();
  for (u32 i = 0; i < kScratchSlots; i++) {
    u32 none = 0;
    if (!__atomic_compare_exchange_n(&g_process.scratch_owner[i], &none, self, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED)) {
      continue;
    }
    Scratch* scratch = &g_scratch[i];
    scratch->borrowed = !owns_memory();
    if (scratch->borrowed) {
      // The kernel clears the word when the child leaves this memory, by exec or exit (kernel/fork.c, mm_release).
      scratch->previous_tid_address = 0;
      raw_syscall(__NR_prctl, PR_GET_TID_ADDRESS, &scratch->previous_tid_address, 0, 0, 0);
      raw_syscall(__NR_set_tid_address, &g_process.scratch_owner[i]);
    }
    drop_large_vector(scratch);
    scratch->program_fd = -1;
    return scratch;
  }
  return nullptr;
}

Scratch* wait_for_scratch() {
  constexpr u32 kAttempts = 200;
  for (u32 i = 0; i < kAttempts; i++) {
    Scratch* scratch = acquire_scratch();
    if (scratch != nullptr) return scratch;
    raw_syscall(__NR_sched_yield);
  }
  return nullptr;
}

void release_scratch(Scratch* scratch) {
  if (scratch->program_fd >= 0) raw_syscall(__NR_close, scratch->program_fd);
  scratch->program_fd = -1;
  drop_large_vector(scratch);
  if (scratch->borrowed) raw_syscall(__NR_set_tid_address, scratch->previous_tid_address);
  __atomic_store_n(&g_process.scratch_owner[scratch - g_scratch], 0, __ATOMIC_RELEASE);
}

void release_scratch_of_thread() {
  u32 self = thread_id();
  for (u32 i = 0; i < kScratchSlots; i++) {
    if (__atomic_load_n(&g_process.scratch_owner[i], __ATOMIC_RELAXED) == self) release_scratch(&g_scratch[i]);
  }
}

i64 run_on_scratch(Scratch* scratch, i64 (*function)(void*), void* argument) {
  return stasis_call_on_stack(scratch->stack + sizeof scratch->stack, function, argument);
}

}  // namespace stasis::runtime
