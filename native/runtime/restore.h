// The parts of a restore, in the order restore.cc calls them. Each works through its arrays of the plan and either
// succeeds or ends the whole process with a report: nothing of the program has run, so nothing is left behind.
//
// The plan lies at kPlanBase, private and writable, and is trusted: the host checked every offset, count and address.
#pragma once

#include "runtime/marker.h"
#include "runtime/report.h"
#include "wire/layout.h"
#include "wire/plan.h"
#include "wire/types.h"

namespace stasis::runtime {

inline const wire::Plan& plan() { return *reinterpret_cast<const wire::Plan*>(wire::kPlanBase); }

inline const char* plan_text(u64 offset) { return reinterpret_cast<const char*>(wire::kPlanBase + offset); }

template <typename T>
const T* plan_entries(const wire::Array& array) {
  return reinterpret_cast<const T*>(wire::kPlanBase + array.offset);
}

// Reports `step` if `result` is an error. Returns the result.
i64 must(i64 result, wire::Step step, u64 subject = 0, u64 extent = 0, const char* text = nullptr);

// A clock of the host, ns.
inline constexpr i32 kClockRealtime = 0, kClockMonotonic = 1, kClockBoottime = 7;
i64 host_clock_ns(i32 clock);

// restore_memory.cc. Files are opened into the numbers 0, 1, 2 ..., which must be free, and closed by map_memory.
void open_mapped_files();
void map_memory();
void keep_image_semantics();  // set_image_ranges and what a checkpoint must know of the page files

// restore_ids.cc: before any thread is made. Ids in the plan are those that the program knows.
void place_process_ids();
void place_thread_id(const wire::ThreadEntry& entry, i64 system_tid);
void place_sender(void* info);  // of a signal that is to be queued again: siginfo_t in place

// restore_working_set.cc. start_working_set may create thread 1, which calls populate_working_set when it is prepared.
// After end_working_set nothing is populated any more.
void start_working_set();
void populate_working_set();
void end_working_set();

// restore_process.cc: memory layout, actions, clocks; interval timers are the last thing to be armed.
void set_memory_layout();
void set_actions();
void set_clocks();
void set_directory();
void arm_itimers();

// restore_timers.cc. POSIX timers: made once all threads are there, armed after the last failure.
void create_timers();
void arm_timers();

// restore_settings.cc. Of one thread, by the thread itself, as the last thing before the gate; then of the process, when every
// thread stands at the gate.
void set_thread_settings(u64 thread);
bool sets_credentials();
void set_process_settings();

// restore_fds.cc
// Frees the numbers of the program: moves inherited stdio, the done pipe and the table above everything the plan needs, closes all
// else, and raises the soft limit of open files if that is too low. Changes the fds in `marker` to where they are now.
void move_inherited_fds(Marker& marker);
void create_fds();                       // parked
void place_fds();                        // at their numbers, then epolls are filled and parked fds closed
void place_table(const Marker& marker);  // moves the table's descriptor to where it stays; after place_fds
// Closes what is left of the restorer's and puts the limit back.
void drop_inherited_fds();
void keep_limit_of_files();  // it has been set to what it is to be

// One object each, from restore_pipes.cc, restore_sockets.cc, restore_timerfd.cc. `park` moves a new fd to its slot.
void park(i64 fd, u32 slot, const wire::FdEntry& entry);
void create_pipe(const wire::FdEntry& entry);
void create_socket_pair(const wire::FdEntry& entry);
void create_listener(const wire::FdEntry& entry);
void create_timerfd(const wire::FdEntry& entry);
// Makes the status flags of `fd` what the image has, when they are not `now`.
void set_status_flags(i64 fd, u32 wanted, u32 now, wire::Step step, const wire::FdEntry& entry);
// Writes everything to a non-blocking fd, or reports.
void fill(i64 fd, u64 data, u64 bytes, wire::Step step, const wire::FdEntry& entry);

// restore_threads.cc. Threads prepare themselves and wait at a gate.
void create_threads(u64 begin, u64 end);  // by index; those that exist already are left out
// The calling thread becomes the main thread of the image, all but its registers; returns once no other thread can fail
// any more.
void prepare_main_thread();
// Opens the gate and returns into the main thread's frame.
[[noreturn]] void resume();

}  // namespace stasis::runtime
