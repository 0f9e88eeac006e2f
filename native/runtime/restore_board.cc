// Where the tasks of a restore meet: one page or more that all of them share, with a count for each meeting and the gate
// that the first process opens. A restore of one process has no board, and nothing here waits.
//
// Arriving and waiting are two things, so that a task goes on working between them. Waits are cut into slices: after
// each, a task ends if another one has reported a failure, and looks whether one that it has made died without a word.
#include <linux/futex.h>
#include <linux/mman.h>

#include "runtime/clock.h"
#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::Board;
using wire::Meeting;
using wire::Step;

constexpr i64 kSliceNanoseconds = 50'000'000;

Board* g_board;

// Not private: the page is shared between processes.
void wait_for_change(u32* word, u32 value) {
  const i64 slice[2] = {0, kSliceNanoseconds};
  if (raw_syscall(__NR_futex, word, FUTEX_WAIT, value, slice, nullptr, 0) == -ETIMEDOUT) check_relatives();
}

void wake_all(u32* word) { raw_syscall(__NR_futex, word, FUTEX_WAKE, 0x7fffffff, nullptr, nullptr, 0); }

u32 expected(Meeting meeting) {
  return meeting == Meeting::Ready || meeting == Meeting::Mapped ? group().process_count
                                                                 : static_cast<u32>(group().tasks.count);
}

u64 board_bytes() {
  const u64 bytes = sizeof(Board) + group().tasks.count * sizeof(wire::BoardTask);
  return (bytes + wire::kPageBytes - 1) & ~(wire::kPageBytes - 1);
}

u32* word_of(Meeting meeting) { return &g_board->arrived[static_cast<u32>(meeting)]; }

}  // namespace

void open_board() {
  if (!has_several_tasks()) return;
  must(raw_syscall(__NR_mmap, kBoardHome, board_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
                   -1, 0),
       Step::MapPlan, kBoardHome, board_bytes());
  g_board = reinterpret_cast<Board*>(kBoardHome);
  const auto* entries = plan_entries<wire::TaskEntry>(group().tasks);
  for (u64 i = 0; i < group().tasks.count; i++)
    g_board->tasks[i] = {
        .pid = 0, .group = 0, .kind = entries[i].kind, .flags = entries[i].flags, .id = entries[i].pid};
}

void close_board() {
  if (g_board == nullptr) return;
  g_board = nullptr;
  // Back to the window's reservation, which has no holes.
  raw_syscall(__NR_mmap, kBoardHome, board_bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
              -1, 0);
}

wire::BoardTask* board_task(u32 index) { return &g_board->tasks[index]; }

void arrive(Meeting meeting) {
  if (g_board == nullptr) return;
  if (__atomic_add_fetch(word_of(meeting), 1, __ATOMIC_ACQ_REL) == expected(meeting)) wake_all(word_of(meeting));
}

void wait_for(Meeting meeting) {
  if (g_board == nullptr) return;
  for (u32 count; (count = __atomic_load_n(word_of(meeting), __ATOMIC_ACQUIRE)) < expected(meeting);)
    wait_for_change(word_of(meeting), count);
}

void open_gate() {
  if (g_board == nullptr) return;
  g_board->monotonic_offset_ns = clock_offset(kClockMonotonic);
  g_board->boottime_offset_ns = clock_offset(kClockBoottime);
  __atomic_store_n(&g_board->gate, 1, __ATOMIC_RELEASE);
  wake_all(&g_board->gate);
}

void pass_gate() {
  if (g_board == nullptr) return;
  while (__atomic_load_n(&g_board->gate, __ATOMIC_ACQUIRE) == 0) wait_for_change(&g_board->gate, 0);
  set_clock_offsets(g_board->monotonic_offset_ns, g_board->boottime_offset_ns);
}

}  // namespace stasis::runtime
