// The restore plan: what the runtime does to rebuild one process, in flat arrays. restore/ computes it from a verified image and hands
// it over in a memfd; the runtime maps it private and writable at kPlanBase. All offsets are bytes from the start of the plan; strings
// are NUL-terminated. The host has checked every offset, so the runtime trusts the plan as it trusts its own text.
#pragma once

#include "wire/descriptor.h"
#include "wire/plan_process.h"
#include "wire/types.h"

namespace stasis::wire {

inline constexpr u64 kPlanMagic = 0x316e616c70737473;
inline constexpr u32 kPlanVersion = 2;
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
  Stdio,         // the new application's own stdio number `value`
  Pipe,          // two slots: read end in slot, write end in peer_slot (either may be kNoSlot); data to write first
  SocketPair,    // two slots; data = queued for slot's reader, peer_data = queued for peer's reader
  Eventfd,       // value = count, flags, semaphore in option
  Timerfd,       // value = clock id, timer = itimerspec, option = settime flags, ticks
  Epoll,         // entries come from epoll_entries, after all fds stand
  Listen,        // socket family/type/protocol, address, backlog, option bits
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

struct FdPlacement {
  u32 slot;
  i32 fd;
  u32 close_on_exec;
  u32 reserved;
};

struct EpollEntry {
  i32 epoll_fd;
  i32 target_fd;
  u32 events;
  u32 reserved;
  u64 data;
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

struct Plan {
  u64 magic;
  u32 version;
  u32 working_set_count;  // 0 from hosts that do not know `working_set`, whose plans end before it
  u64 bytes;
  u64 runtime_path;  // offset
  u64 exe_path;      // offset: what /proc/self/exe names
  u64 cwd;           // offset
  u32 umask;
  u32 park_base;  // first number for parked fds, above every placed fd
  u64 slot_count;
  Array files, maps, image_ranges, fds, placements, epoll_entries, actions, threads, signals;
  u64 image_pages;  // bits in the bitmap of image_ranges
  MemoryLayout layout;
  u64 auxv, auxv_bytes;
  i64 monotonic_ns, boottime_ns;  // the program's clocks at the checkpoint
  i64 itimers[3][4];              // interval s, us, value s, us; which = ITIMER_REAL, _VIRTUAL, _PROF
  u64 working_set;                // offset of WorkingSetRange[working_set_count]
  // Ids as the program knows them, which the restored process keeps (wire/ids.h); those of threads are with them.
  i32 pid, parent_pid, group_id, session_id;  // 0: not known to it
  Array known_ids;                            // u32 each: no other process is given them
  u32 parked_fd;                              // where the translation table's memfd is to stay; no placed fd
  u32 reserved;
  Array timers, scheduling;  // TimerEntry, SchedulingEntry
  u64 settings;              // offset of a SettingsEntry, 0: everything stays as it is inherited
};

}  // namespace stasis::wire
