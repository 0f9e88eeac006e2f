// Threads of a restored process. Each is cloned with every signal blocked, prepares what only it can (rseq, robust
// list, name, gs base, its queued signals), says so and waits at a gate, which opens for good.
//
// The main thread opens the gate when nothing can fail any more. It waits for the others to arrive only if one of them
// does what could: on a busy machine that would cost a time slice for each.
#include <asm/prctl.h>
#include <asm/signal.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/sched.h>

#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

// arch/x86_64/restore.S
extern "C" {
i64 stasis_clone_thread(u64 flags, u64 stack_top, u64 parent_tid, u64 child_tid, u64 tls, u64 index);
[[noreturn]] void stasis_return_to_frame(u64 ucontext);
}

namespace {

using wire::Step;
using wire::ThreadEntry;

u32 g_gate;     // futex: 1 once it is open
u64 g_created;  // index of the first thread that is still to be created
u32 g_ready;    // futex: threads at the gate, without the main thread

const ThreadEntry& thread(u64 index) { return plan_entries<ThreadEntry>(plan().threads)[index]; }

// The process had gone on without its main thread: then the one that rebuilds it is none of the image's.
bool main_has_ended() { return (task().flags & wire::kTaskMainEnded) != 0; }

u32 count_of_others() { return static_cast<u32>(plan().threads.count) - (main_has_ended() ? 0 : 1); }

void wait_while(u32* word, u32 value) {
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
    raw_syscall(__NR_futex, word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

// Signals to the process can only be queued by a thread whose id is the process's: si_code may be anything only for
// oneself (kernel/signal.c, do_rt_sigqueueinfo).
void queue_signals(u64 index, bool of_process) {
  auto* signals = const_cast<wire::QueuedSignal*>(plan_entries<wire::QueuedSignal>(plan().signals));
  const i64 pid = raw_syscall(__NR_getpid), tid = raw_syscall(__NR_gettid);
  for (u64 i = 0; i < plan().signals.count; i++) {
    wire::QueuedSignal& queued = signals[i];
    if (queued.thread == wire::kNoSlot ? !of_process : queued.thread != index) continue;
    place_sender(queued.info);
    // The frame opens it again, with the program's context in force (wire/waits.h). Calls of the runtime do not trap.
    const u64 open = u64{1} << (queued.signal - 1);
    raw_syscall(__NR_rt_sigprocmask, SIG_BLOCK, &open, nullptr, sizeof open);
    if (queued.thread != wire::kNoSlot) {
      must(raw_syscall(__NR_rt_tgsigqueueinfo, pid, tid, queued.signal, queued.info), Step::QueueSignal, queued.signal);
    } else {
      must(raw_syscall(__NR_rt_sigqueueinfo, pid, queued.signal, queued.info), Step::QueueSignal, queued.signal);
    }
  }
}

void prepare(u64 index) {
  const ThreadEntry& entry = thread(index);
  if (entry.rseq_address != 0) {
    must(raw_syscall(__NR_rseq, entry.rseq_address, entry.rseq_bytes, 0, entry.rseq_signature), Step::RegisterRseq,
         static_cast<u64>(entry.image_tid));
  }
  if (entry.robust_list != 0) raw_syscall(__NR_set_robust_list, entry.robust_list, entry.robust_list_bytes);
  if (entry.gs_base != 0)
    must(raw_syscall(__NR_arch_prctl, ARCH_SET_GS, entry.gs_base), Step::CreateThread,
         static_cast<u64>(entry.image_tid));
  raw_syscall(__NR_prctl, PR_SET_NAME, entry.name, 0, 0, 0);
  queue_signals(index, index == 0 && !main_has_ended());
  set_thread_settings(index);
}

// True if a thread but the main one has something to do that may fail although the main thread's like has not, or that has to be
// done before the process is what it is to be: credentials; queueing a signal (limit of pending signals), or rseq with another length or signature. gs bases are user addresses, checked
// by the host.
bool others_may_fail() {
  if (sets_credentials()) return true;
  const ThreadEntry& main = thread(0);
  for (u64 i = 1; i < plan().threads.count; i++) {
    const ThreadEntry& entry = thread(i);
    const bool alike =
        main.rseq_address != 0 && entry.rseq_bytes == main.rseq_bytes && entry.rseq_signature == main.rseq_signature;
    if (entry.rseq_address != 0 && !alike) return true;
  }
  const auto* signals = plan_entries<wire::QueuedSignal>(plan().signals);
  for (u64 i = 0; i < plan().signals.count; i++) {
    if (signals[i].thread != wire::kNoSlot && signals[i].thread != 0) return true;
  }
  return false;
}

}  // namespace

extern "C" [[noreturn]] __attribute__((used)) void stasis_thread_main(u64 index) {
  // Before its signals are queued, which have to find the actions set.
  if (index == 1) populate_working_set();
  prepare(index);
  if (__atomic_add_fetch(&g_ready, 1, __ATOMIC_RELEASE) == count_of_others()) {
    raw_syscall(__NR_futex, &g_ready, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
  wait_while(&g_gate, 0);
  install_own_filters();
  stasis_return_to_frame(thread(index).frame);
}

void create_threads(u64 begin, u64 end) {
  if (begin == 1 && main_has_ended()) begin = 0;
  constexpr u64 kFlags =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS;
  for (u64 i = begin > g_created ? begin : g_created; i < end; g_created = ++i) {
    const ThreadEntry& entry = thread(i);
    const u64 flags = kFlags | (entry.clear_child_tid != 0 ? CLONE_CHILD_CLEARTID : 0);
    const i64 tid = must(stasis_clone_thread(flags, entry.stack_top, 0, entry.clear_child_tid, entry.fs_base, i),
                         Step::CreateThread, static_cast<u64>(entry.image_tid));
    place_thread_id(entry, tid);
  }
}

void prepare_main_thread() {
  if (main_has_ended()) {
    queue_signals(wire::kNoSlot, true);
  } else {
    const ThreadEntry& entry = thread(0);
    raw_syscall(__NR_set_tid_address, entry.clear_child_tid);
    must(raw_syscall(__NR_arch_prctl, ARCH_SET_FS, entry.fs_base), Step::CreateThread,
         static_cast<u64>(entry.image_tid));
    prepare(0);
    if (!others_may_fail()) return;
  }
  const u32 others = count_of_others();
  for (u32 ready; (ready = __atomic_load_n(&g_ready, __ATOMIC_ACQUIRE)) != others;) wait_while(&g_ready, ready);
}

void resume() {
  __atomic_store_n(&g_gate, 1, __ATOMIC_RELEASE);
  if (count_of_others() > 0) raw_syscall(__NR_futex, &g_gate, FUTEX_WAKE_PRIVATE, 0x7fffffff, nullptr, nullptr, 0);
  if (main_has_ended()) {
    for (;;) raw_syscall(__NR_exit, 0);
  }
  install_own_filters();
  stasis_return_to_frame(thread(0).frame);
}

}  // namespace stasis::runtime
