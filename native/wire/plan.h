// The restore plan: what the runtime does to rebuild an application, in flat arrays. restore/ computes it from a verified image and
// hands it over in one memfd: the group plan, and behind it, page-aligned, a plan for each process.
//
//     0                 GroupPlan, TaskEntry..., objects that processes share, their strings and bytes
//     TaskEntry::plan   Plan of that process, with its own arrays, strings and frames
//
// Each is mapped private and writable at kPlanBase, the group plan first, by the process that makes the others, then by each process
// its own. Offsets are bytes from the start of the GroupPlan or Plan that they stand in; strings are NUL-terminated. The host has
// checked every offset, so the runtime trusts the plan as it trusts its own text.
//
// A runtime kept from an image of an earlier version takes the plan of its version: one Plan, which is the whole file and holds the
// objects, too.
#pragma once

#include "wire/descriptor.h"
#include "wire/plan_process.h"
#include "wire/types.h"

namespace stasis::wire {

inline constexpr u64 kPlanMagic = 0x316e616c70737473;
inline constexpr u32 kPlanVersion = 3;
// For runtimes that rebuild one process alone (up to kDescriptorVersionOfOneProcess): without what stands behind `parked_fd`.
inline constexpr u32 kPlanVersionOfOneProcess = 2;
// For runtimes that give the program new ids (kDescriptorVersion 1): without what stands behind `working_set`.
inline constexpr u32 kPlanVersionWithoutIds = 1;
inline constexpr u32 kNoFile = 0xffffffff;

struct Array {
  u64 offset;
  u64 count;
};

// A file to open for mappings. The runtime opens `path` and compares device and inode with what the host verified.
struct FileEntry {
  u64 path;        // offset of the string
  u32 open_flags;  // O_RDONLY or O_RDWR
  u32 page_file;   // 1: an image's page file, whose mappings stand for anonymous memory
  u64 device;
  u64 inode;
};

enum class MapKind : u32 {
  Anonymous = 1,  // mmap of zeros
  File,           // mmap of files[file] at file_offset
  Image,          // as File, of a page file, MAP_PRIVATE; counts as anonymous memory from then on
  Copy,           // read `length` bytes from files[file] at file_offset into memory mapped by an earlier entry
  Protect,        // mprotect
  Advise,         // madvise(advice = file_offset); the range may have holes, so ENOMEM is no failure
  Lock,           // mlock
  Segment,        // mmap of the shared object parked at slot `file`, at file_offset
  Attach,         // shmat of the System V segment that the program knows as file_offset
};

struct MapEntry {
  u64 address;
  u64 length;
  u64 file_offset;
  u32 protection;
  u32 flags;  // MAP_SHARED or MAP_PRIVATE, MAP_NORESERVE, MAP_GROWSDOWN; MAP_FIXED is added by the runtime
  u32 file;   // index into files, or kNoFile
  MapKind kind;
};

// A contiguous range whose pages come from an image; `first_bit` is its place in the bitmap of pages that were given up since.
// Sorted by address, not overlapping.
//
// Two kinds. With `backing` == kNoFile the pages stand for private anonymous memory: pages given up (MADV_DONTNEED, MADV_FREE) are
// zeros. Otherwise they are the program's changed pages of a private mapping of files[backing], whose page at `address` is the one at
// `backing_offset`: for such a range MADV_DONTNEED brings the file's bytes back (map files[backing] over it, MAP_PRIVATE, after
// comparing device and inode), MADV_FREE is EINVAL, and mremap grows over the file. The plan stays mapped at kPlanBase for the life of
// the process, so files and their paths can be read at any time; after an exec neither ranges nor plan exist.
struct ImageRange {
  u64 address;
  u64 length;
  u64 first_bit;
  u64 backing_offset;
  u32 backing;  // index into files, or kNoFile
  u32 reserved;
};

// Pages that the program is expected to write soon: a hint, which may be ignored. Sorted, not overlapping, each inside
// image mappings that are private and writable.
struct WorkingSetRange {
  u64 address;
  u64 pages;
};

enum class FdKind : u32 {
  OpenFile = 1,  // path, flags, file_offset
  Stdio,  // the new application's own stdio number `value`; was a terminal: data = struct termios2, ticks = foreground group
  Pipe,              // two slots: read end in slot, write end in peer_slot (either may be kNoSlot); data to write first
  SocketPair,        // two slots; data = queued for slot's reader, peer_data = queued for peer's reader
  Eventfd,           // value = count, flags, semaphore in option
  Timerfd,           // value = clock id, timer = itimerspec, option = settime flags, ticks
  Epoll,             // entries come from epoll_entries, after all fds stand
  Listen,            // socket family/type/protocol, address, backlog, option bits
  MemoryFile,        // the segment parked at peer_slot, opened anew: flags, file_offset
  Socket,            // one socket: address to bind to, peer_address to connect to
  Inotify,           // flags, watches
  DeletedDirectory,  // path, flags, mode: made anew without a name
  Reopen,            // another description, with flags and file_offset, of what is parked at peer_slot
  Tcp,  // two slots: a connection from address to peer_address; data = queued for slot's reader, peer_data for the other's
  Signalfd,    // value = mask
  Master,      // of a pseudoterminal: data = struct termios2, address = struct winsize, option bits
  Slave,       // of the master parked at peer_slot, made before
  PosixQueue,  // path = name, value = mq_maxmsg, ticks = mq_msgsize, data = IpcMessage[data_bytes]
  Held,        // a TCP connection: number `option` of what the holder at `address` has (wire/held.h)
};

inline constexpr u32 kNoSlot = 0xffffffff;

// Socket options put back on a listening socket: bits of FdEntry::option.
inline constexpr u32 kSocketReuseAddress = 1;
inline constexpr u32 kSocketReusePort = 2;
inline constexpr u32 kSocketV6Only = 4;
inline constexpr u32 kSocketKeepAlive = 8;
inline constexpr u32 kSocketNoDelay = 16;
inline constexpr u32 kSocketPassCred = 32;
// The socket path of a UNIX listener may be left over from the process that was stopped: unlink a socket file before bind when it
// refuses connections.
inline constexpr u32 kSocketUnlinkStale = 64;

// Bits of FdDetail::ends.
inline constexpr u32 kEndClosed = 1;   // slot's end is closed once all is put in it
inline constexpr u32 kPeerClosed = 2;  // peer_slot's
inline constexpr u32 kPeerReset = 4;   // with kPeerClosed: a reset ends the connection, which the other end sees
inline constexpr u32 kKeepName = 8;  // the file that binding slot's end makes stays; else its name is taken away again
inline constexpr u32 kNeverWritten = 32;  // FIFO: slot's end alone is opened
inline constexpr u32 kKeepPeerName = 16;  // likewise, peer_slot's

// One message that waits in a socket or a packet that waits in a pipe, or bytes of a stream.
struct MessageEntry {
  u64 data, bytes;
  u64 rights;  // offset of u32[right_count]: slots of the descriptors that travel with it
  u32 right_count;
  u32 sender;      // slot of the socket that it came from, kNoSlot: none of the application's
  u32 from_bytes;  // datagrams: the sender's address, for a sender that is gone
  u8 from[112];
  u32 packet;  // pipes: written in packet mode (O_DIRECT)
};

// A lock on a file. By slot where it belongs to the open file description, else by the process's number.
enum class LockKind : u32 { Process = 1, Lease, Description, Whole };  // Whole: flock(2), type is its operation
struct LockEntry {
  LockKind kind;
  u32 fd;
  u32 type;
  u32 reserved;
  i64 start, length;
  u64 path;
};

struct WatchEntry {
  u64 path;
  u32 number, mask;
};

struct SocketOptionEntry {
  u32 level, name;
  u64 value, bytes;
};

// One open file description. It is created at park_base + slot and then duplicated to each number in placements.
struct FdEntry {
  FdKind kind;
  u32 slot;
  u32 peer_slot;
  u32 image_fd;  // a number of it in the image, for reports
  u32 flags;  // open(2) status flags (O_NONBLOCK, O_APPEND, access mode ...), without O_CREAT, O_EXCL, O_TRUNC, O_CLOEXEC
  u32 peer_flags;
  u64 value;
  i64 file_offset;  // lseek position, -1 for none
  u64 path;         // offset of a string, 0 for none; for Listen: the printable address
  u64 data, data_bytes;
  u64 peer_data, peer_data_bytes;
  u32 option;
  u32 capacity;  // pipe: F_SETPIPE_SZ; socket: backlog
  u32 family, type, protocol, address_bytes;
  u8 address[112];
  i64 timer[4];  // interval s, ns, value s, ns
  u64 ticks;
};

// What pipes and sockets have beside, at FdEntry::value; 0: nothing. FdEntry itself stays as older runtimes know it.
struct FdDetail {
  Array messages, peer_messages;  // MessageEntry: queued for slot's reader, for peer_slot's
  Array options, peer_options;    // SocketOptionEntry, of either end
  u64 directory;                  // offset: where names that do not begin with '/' count from; 0: as it is
  u32 shutdown, peer_shutdown;    // 1 reading, 2 writing
  Array locks;                    // LockEntry, of the open file description
  Array watches;                  // WatchEntry, ascending by number
  u32 signal;                     // F_SETSIG
  u32 mode;                       // of a deleted directory
  u32 ends;
  u32 peer_address_bytes;
  u8 peer_address[112];
};

struct FdPlacement {
  u32 slot;
  i32 fd;
  u32 close_on_exec;
  u32 kind;  // kPlaced..., 0: any other
};

struct EpollEntry {
  i32 epoll_fd;
  i32 target_fd;
  u32 events;
  u32 reserved;
  u64 data;
};

// A file that an epoll watches, as both stand parked: `fd` is the number under which the program had added it.
struct EpollWatch {
  u32 slot;
  u32 target_slot;
  i32 fd;
  u32 events;
  u64 data;
};

// Memory that processes share: a memfd parked at `slot`, which they map.
struct SegmentEntry {
  u32 slot;
  u32 seals;  // F_ADD_SEALS, once it is filled
  u64 bytes;
  u64 name;  // offset of a string
  Array pieces;
  u64 directory;  // of a deleted file: where to make it, 0: memory file
  u32 mode;
  u32 reserved;
};

// Contents of a segment: `length` bytes of GroupPlan::files[file].
struct SegmentPiece {
  u64 offset;  // in the segment
  u64 length;
  u64 file_offset;
  u32 file;
  u32 reserved;
};

struct SigactionEntry {
  u32 signal;
  u32 reserved;
  KernelSigaction action;  // as the program set it
};

struct QueuedSignal {
  u32 thread;  // index into threads, or kNoSlot for the process
  u32 signal;
  u8 info[128];  // siginfo_t
};

struct ThreadEntry {
  u64 frame;      // address (in the plan's mapping) of the ucontext of a complete rt_sigreturn frame
  u64 stack_top;  // address: top of at least 2 KiB for the runtime's work before the frame takes over
  u64 fs_base, gs_base;
  u64 clear_child_tid;
  u64 robust_list, robust_list_bytes;
  u64 rseq_address;
  u32 rseq_bytes, rseq_signature;
  i32 image_tid;
  u32 reserved;
  u64 tid_word;  // version 1: address of a 32-bit word that holds image_tid and gets the new tid, 0 for none
  char name[16];
};

// prctl_mm_map of linux/prctl.h without auxv and exe_fd (PR_SET_MM_MAP, kernel 3.18; unprivileged but for exe_fd).
struct MemoryLayout {
  u64 start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end, env_start, env_end;
};

// Plan of one process.
struct Plan {
  u64 magic;
  u32 version;
  u32 working_set_count;  // 0 from hosts that do not know `working_set`, whose plans end before it
  u64 bytes;
  u64 runtime_path;  // offset
  u64 exe_path;      // offset: what /proc/self/exe names
  u64 cwd;           // offset
  u32 umask;
  u32 park_base;   // of versions before 3, as all that GroupPlan has now: see there
  u64 slot_count;  // likewise
  Array files, maps, image_ranges;
  Array fds;  // versions before 3
  Array placements;
  Array epoll_entries;  // of objects that only this process can add: others are in GroupPlan
  Array actions, threads, signals;
  u64 image_pages;  // bits in the bitmap of image_ranges
  MemoryLayout layout;
  u64 auxv, auxv_bytes;
  i64 monotonic_ns, boottime_ns;  // the program's clocks at the checkpoint
  i64 itimers[3][4];              // interval s, us, value s, us; which = ITIMER_REAL, _VIRTUAL, _PROF
  u64 working_set;                // offset of WorkingSetRange[working_set_count]
  // Ids as the program knows them, which the restored process keeps (wire/ids.h); those of threads are with them.
  i32 pid, parent_pid, group_id, session_id;  // 0: not known to it
  Array known_ids;                            // versions before 3
  u32 parked_fd;                              // versions before 3
  u32 reserved;
  Array timers, scheduling;                       // TimerEntry, SchedulingEntry
  u64 settings;                                   // offset of a SettingsEntry, 0: everything stays as it is inherited
  Array undo, removed_segments, pidfds, filters;  // UndoEntry, RemovedSegment (first process), PidfdEntry, FilterEntry
  u32 terminal_slot;     // kNoSlot, or where the controlling terminal of the session that it leads is parked
  i32 foreground_group;  // of that terminal, virtual
  Array locks;           // LockEntry: those of the process
};

// What a task is made for.
enum class TaskKind : u32 {
  Process = 1,
  Zombie,  // ends as it had ended, and stays for its parent to be waited for
  Helper,  // leads a session or group whose leader has ended, until its members stand in it
};

inline constexpr u32 kNoTask = 0xffffffff;

// TaskEntry::flags
inline constexpr u32 kTaskLeadsSession = 1;  // setsid
inline constexpr u32 kTaskLeadsGroup = 2;    // setpgid(0, 0)
inline constexpr u32 kTaskBeforeSetsid = 4;  // made before its maker does setsid
inline constexpr u32 kTaskOrphan =
    8;  // a child of the keeper, not of its maker, which is the first process (CLONE_PARENT)
inline constexpr u32 kTaskSubreaper = 16;  // PR_SET_CHILD_SUBREAPER
inline constexpr u32 kTaskReapsHelpers =
    32;                                  // a subreaper until the program runs: members of helpers become its children
inline constexpr u32 kTaskStopped = 64;  // by exit_status's signal
inline constexpr u32 kTaskMainEnded = 256;  // its first thread is not the main one, which ends when the program runs
inline constexpr u32 kTaskOfHelper = 128;   // its maker is a helper or ends before the program runs

// One process, zombie or helper. The children of a task lie together, those of kTaskBeforeSetsid first; the first task is the
// application's first process.
struct TaskEntry {
  TaskKind kind;
  u32 flags;
  i32 pid;  // virtual; of a helper: of the leader that has ended
  u32 maker;
  u32 first_child, child_count;
  u32 group_task;            // whose process group it joins, kNoTask: it has its own or stays in its maker's
  i32 group_id, session_id;  // virtual
  i32 parent_pid;            // virtual
  i32 exit_status;           // of a zombie: as waitpid tells it; of a stopped process: the signal
  i32 exit_signal;           // to its parent
  i32 parent_death_signal;
  u32 terminal_slot;     // kNoSlot, or where the controlling terminal of the session that it leads is parked
  u64 plan, plan_bytes;  // in the file; 0 for zombies and helpers
  char name[16];         // of a zombie
};

// What is made once for all processes.
struct GroupPlan {
  u64 magic;  // kPlanMagic
  u32 version;
  u32 process_count;  // of the tasks
  u64 bytes;          // of the file
  u64 group_bytes;    // to be mapped from the file's start
  u64 runtime_path;   // offset
  u64 cwd;            // offset: the first process's, which relative addresses of sockets refer to
  u32 umask;
  u32 park_base;   // first number for parked fds, above every placed fd of every process and every process's `files`
  u32 slot_count;  // parked fds
  u32 parked_fd;   // where the translation table's memfd is to stay; no placed fd
  Array tasks;     // TaskEntry
  Array fds;       // FdEntry, in the order in which they are made
  Array epoll_watches, segments;
  Array files;                    // FileEntry: of the segments' contents
  Array known_ids;                // u32 each: no other process is given them
  Array system_v;                 // IpcEntry
  i64 monotonic_ns, boottime_ns;  // the program's clocks at the checkpoint
};

// Shared by all tasks while they are made, if there are several.
struct BoardTask {
  u32 pid;    // system, 0: not made yet
  u32 group;  // its process group, system
  // As in its TaskEntry, which is not mapped any more when it matters.
  TaskKind kind;
  u32 flags;
  i32 id;  // virtual
};

// Where tasks wait for each other.
enum class Meeting : u32 {
  Born,     // all tasks exist, with their sessions
  Grouped,  // and their process groups
  Mapped,   // all processes have mapped their memory
  Ready,    // all processes are rebuilt
  Count,
};

struct Board {
  u32 gate;                                       // futex: 1 once the program may run
  u32 arrived[static_cast<u32>(Meeting::Count)];  // futexes
  i64 monotonic_offset_ns, boottime_offset_ns;    // for all, when the gate opens
  BoardTask tasks[];
};

}  // namespace stasis::wire
