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

// The report page waits here while memory is cleared, and the board next to it: the arena is not used before a
// checkpoint.
inline constexpr u64 kReportHome = wire::kParasiteArenaBase;
inline constexpr u64 kBoardHome = kReportHome + wire::kPageBytes;

// restore_plan.cc. What stands in the GroupPlan itself stays known; arrays and strings of the group only until
// map_own_plan, from when on plan() and all of the process's can be used.
void receive_plan(Marker& marker);
void map_group_plan(const Marker& marker);
void map_own_plan(const Marker& marker);
const wire::GroupPlan& group();
const wire::TaskEntry& task();  // which the caller is
u32 task_index();
bool has_several_tasks();
void become_task(u32 index);

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

// restore_tree.cc
void begin_tree();       // in the first process, before all else that others might notice
void build_tree();       // forks the tree; returns in every process of it, in its session and group, with its id placed
void settle_children();  // helpers below have ended, zombies are there, and their SIGCHLDs are pending at the most
void settle_stopped_children();
bool is_stopped();       // in the image
void stop();             // returns when somebody continues the process
void check_relatives();  // ends the caller if another task has failed or its maker is gone
void set_parent_death_signal();
void leave_tree();  // the program is about to run
[[noreturn]] void end_quietly();

// restore_board.cc: nothing of it does anything where there is one task alone.
void open_board();
void close_board();
wire::BoardTask* board_task(u32 index);
void arrive(wire::Meeting meeting);
void wait_for(wire::Meeting meeting);  // until all have arrived
void open_gate();
void pass_gate();

// restore_segments.cc
void create_segments();  // of their size, parked
void fill_segments();
void seal_segments();  // once the process has mapped its memory

// restore_memory.cc. Files are opened into the numbers 0, 1, 2 ..., which must be free, and closed by map_memory.
void open_files(const wire::FileEntry* files, u64 count);
void close_files(u64 count);
void open_mapped_files();
void map_memory();
void keep_image_semantics();  // set_image_ranges and what a checkpoint must know of the page files

// restore_ids.cc: before any thread is made. Ids in the plan are those that the program knows.
void reserve_ids();
void place_process_ids();  // of the caller's task
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
void set_directory(u64 cwd, u32 umask);
void arm_itimers();

// restore_ipc.cc. Made by the first process before it forks; filled with its segments' contents; then by each process.
void create_system_v();
void fill_system_v();
void attach_segment(const wire::MapEntry& entry);
void remove_marked_segments();
void restore_undo();
void create_posix_queue(const wire::FdEntry& entry);

// restore_events.cc. Pidfds once the processes are born, before place_fds.
void create_signalfd(const wire::FdEntry& entry);
void open_pidfds();
// The program's filters: what they forbid the runtime, before the gate; installed by each thread as the last thing behind it.
void note_own_filters();
void install_own_filters();

// restore_terminals.cc. The controlling terminal of a session, once its leader leads it; its foreground group while its slot is parked.
void create_master(const wire::FdEntry& entry);
void create_slave(const wire::FdEntry& entry);
void take_terminal(u32 slot);
void set_foreground_group();
// Of the application's stdio: what `fd`, the restorer's, is to be if it is a terminal; and, by the first process, that it becomes so.
void note_stdio_terminal(i64 fd, const wire::FdEntry& entry);
void set_stdio_terminal();

// restore_timers.cc. POSIX timers: made once all threads are there, armed after the last failure.
void create_timers();
void arm_timers();

// restore_settings.cc. Of one thread, by the thread itself, as the last thing before the gate; then of the process, when every
// thread stands at the gate.
void set_thread_settings(u64 thread);
bool sets_credentials();
void set_process_settings();

// restore_fds.cc
// Frees the numbers of the program: moves inherited stdio, the done pipe, the plan and the table above everything the plan needs, closes all
// else, and raises the soft limit of open files if that is too low. Changes the fds in `marker` to where they are now.
void move_inherited_fds(Marker& marker);
void create_fds();                       // all of the group's, parked; epolls are filled
void place_fds();                        // the process's at their numbers; parked fds are closed
void place_table(const Marker& marker);  // moves the table's descriptor to where it stays; after place_fds
// Closes what is left of the restorer's but the done pipe, and puts the limit back.
void drop_inherited_fds(const Marker& marker);
void keep_limit_of_files();  // it has been set to what it is to be

// restore_files.cc. A directory of the name is there no more: a new one, without a name, is entered in its place.
bool enter_removed_directory(const char* path);
void open_removed_directory(const wire::FdEntry& entry);
void create_inotify(const wire::FdEntry& entry);
void lock_description(const wire::FdEntry& entry);  // parked
void set_process_locks();
i64 open_unnamed(const char* directory, u32 mode);  // a new file without a name, or -errno

u64 holder_home();      // the number for the connection to a holder of connections
u64 slot_fd(u32 slot);  // the number at which a slot is parked
const wire::FdDetail& detail_of(const wire::FdEntry& entry);

// restore_sockets.h has their order; all objects of the plan must stand.
void fill_sockets();
void connect_sockets();
void finish_sockets();
void close_pipe_ends();

// One object each, from restore_pipes.cc, restore_sockets.cc, restore_timerfd.cc. `park` moves a new fd to its slot.
void park(i64 fd, u32 slot, const wire::FdEntry& entry);
void create_pipe(const wire::FdEntry& entry);
void reopen(const wire::FdEntry& entry);
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
