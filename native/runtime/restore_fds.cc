// File descriptors of a restored process.
//
//     0 .. park_base - 1                 the program's numbers; also where new fds appear before they are parked, and
//                                        where files to map are opened
//     park_base .. + slot_count - 1      parked: one number for each end of an open file description
//     above                              the restorer's own: inherited stdio, the table of ids, the plan, the done pipe, the
//                                        connection to a holder
//
// Every object is made once, by the first process while it is alone, and parked at its slot; children inherit all of
// them. Each process then duplicates those it has to each of its numbers and closes everything from park_base up.
#include <linux/fcntl.h>
#include <linux/resource.h>
#include <linux/stat.h>

#include "runtime/ids.h"
#include "runtime/ids_signal.h"
#include "runtime/restore.h"
#include "runtime/restore_sockets.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::FdKind;
using wire::Step;

constexpr u32 kStdioCount = 3;
constexpr u32 kPassedFds = 3;                          // the table of ids, the plan and the done pipe
constexpr u32 kOwnFds = kStdioCount + kPassedFds + 1;  // and the connection to a holder
constexpr u64 kFdsToSpare = 4;                         // that exist for a moment while the highest slot is filled
constexpr u32 kEfdSemaphore = 1;                       // EFD_SEMAPHORE
constexpr u32 kSeekSet = 0;
constexpr u32 kEpollAdd = 1;  // EPOLL_CTL_ADD

// What fcntl(F_SETFL) can change (fs/fcntl.c, SETFL_MASK).
constexpr u32 kSettableFlags = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | FASYNC;

struct KernelLimit {  // struct rlimit64
  u64 soft, hard;
};

u64 g_own_base;  // first of the restorer's own fds
KernelLimit g_old_limit;
bool g_limit_raised;

u64 max(u64 a, u64 b) { return a > b ? a : b; }

void exchange(u64& a, u64& b) {
  const u64 first = a;
  a = b;
  b = first;
}

void raise_limit(u64 highest) {
  KernelLimit limit;
  must(raw_syscall(__NR_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit), Step::RaiseFdLimit);
  if (limit.soft > highest) return;
  if (limit.hard <= highest) report_fail(Step::RaiseFdLimit, EMFILE, highest, 0, nullptr);
  g_old_limit = limit;
  limit.soft = highest + 1;
  must(raw_syscall(__NR_prlimit64, 0, RLIMIT_NOFILE, &limit, nullptr), Step::RaiseFdLimit);
  g_limit_raised = true;
}

void open_file(const FdEntry& entry) {
  const char* path = plan_text(entry.path);
  const i64 fd = must(raw_syscall(__NR_open, path, entry.flags | O_NOCTTY | O_CLOEXEC, 0), Step::OpenDescriptor,
                      entry.image_fd, 0, path);
  if (entry.file_offset > 0) {
    must(raw_syscall(__NR_lseek, fd, entry.file_offset, kSeekSet), Step::OpenDescriptor, entry.image_fd, 0, path);
  }
  park(fd, entry.slot, entry);
}

// A description of its own of a segment: by its link, which opens what is behind it (proc_pid_fd(5)).
void open_memory_file(const FdEntry& entry) {
  char path[40];
  char* end = write_text(path, "/proc/self/fd/");
  end = write_signed(end, static_cast<i64>(slot_fd(entry.peer_slot)));
  *end = 0;
  const i64 fd =
      must(raw_syscall(__NR_open, path, entry.flags | O_CLOEXEC, 0), Step::OpenDescriptor, entry.image_fd, 0, path);
  if (entry.file_offset > 0) {
    must(raw_syscall(__NR_lseek, fd, entry.file_offset, kSeekSet), Step::OpenDescriptor, entry.image_fd, 0, path);
  }
  park(fd, entry.slot, entry);
}

// A stream that the restorer does not have is /dev/null: the program knows the number as open.
void take_stdio(const FdEntry& entry) {
  i64 fd = raw_syscall(__NR_fcntl, g_own_base + entry.value, F_DUPFD_CLOEXEC, 0);
  if (fd == -EBADF) fd = raw_syscall(__NR_open, "/dev/null", O_RDWR | O_CLOEXEC, 0);
  note_stdio_terminal(fd, entry);
  park(must(fd, Step::ParkFd, entry.image_fd), entry.slot, entry);
}

void create_eventfd(const FdEntry& entry) {
  // The initial count is 32 bits wide, the counter 64 (eventfd(2)).
  const bool large = entry.value > 0xffffffffUL;
  const u32 flags = O_CLOEXEC | (entry.flags & O_NONBLOCK) | (entry.option != 0 ? kEfdSemaphore : 0);
  const i64 fd = must(raw_syscall(__NR_eventfd2, large ? 0 : entry.value, flags), Step::CreateEventfd, entry.image_fd);
  if (large) must(raw_syscall(__NR_write, fd, &entry.value, sizeof entry.value), Step::CreateEventfd, entry.image_fd);
  park(fd, entry.slot, entry);
}

void create(const FdEntry& entry) {
  switch (entry.kind) {
    case FdKind::OpenFile:
      return open_file(entry);
    case FdKind::Stdio:
      return take_stdio(entry);
    case FdKind::Pipe:
      return create_pipe(entry);
    case FdKind::SocketPair:
      return create_socket_pair(entry);
    case FdKind::Eventfd:
      return create_eventfd(entry);
    case FdKind::Timerfd:
      return create_timerfd(entry);
    case FdKind::Epoll:
      return park(must(raw_syscall(__NR_epoll_create1, O_CLOEXEC), Step::CreateEpoll, entry.image_fd), entry.slot,
                  entry);
    case FdKind::Listen:
      return create_listener(entry);
    case FdKind::MemoryFile:
      return open_memory_file(entry);
    case FdKind::Socket:
      return create_socket(entry);
    case FdKind::Tcp:
      return create_tcp(entry);
    case FdKind::Reopen:
      return reopen(entry);
    case FdKind::Signalfd:
      return create_signalfd(entry);
    case FdKind::Master:
      return create_master(entry);
    case FdKind::Slave:
      return create_slave(entry);
    case FdKind::PosixQueue:
      return create_posix_queue(entry);
    case FdKind::Inotify:
      return create_inotify(entry);
    case FdKind::DeletedDirectory:
      return open_removed_directory(entry);
    case FdKind::Held:
      return take_connection(entry);
  }
}

struct __attribute__((packed)) KernelEpollEvent {
  u32 events;
  u64 data;
};

// As the program had added them: under its number for the file, which is what tells two entries of one file apart.
void fill_epolls() {
  const auto* watches = plan_entries<wire::EpollWatch>(group().epoll_watches);
  for (u64 i = 0; i < group().epoll_watches.count; i++) {
    const wire::EpollWatch& watch = watches[i];
    const auto number = static_cast<u64>(watch.fd);
    const KernelEpollEvent event = {.events = watch.events, .data = watch.data};
    must(raw_syscall(__NR_dup3, slot_fd(watch.target_slot), number, O_CLOEXEC), Step::AddToEpoll, number);
    must(raw_syscall(__NR_epoll_ctl, slot_fd(watch.slot), kEpollAdd, number, &event), Step::AddToEpoll, number);
    raw_syscall(__NR_close, number);
  }
}

// Of objects that the process has made itself.
void fill_own_epolls() {
  const auto* entries = plan_entries<wire::EpollEntry>(plan().epoll_entries);
  for (u64 i = 0; i < plan().epoll_entries.count; i++) {
    const KernelEpollEvent event = {.events = entries[i].events, .data = entries[i].data};
    must(raw_syscall(__NR_epoll_ctl, entries[i].epoll_fd, kEpollAdd, entries[i].target_fd, &event), Step::AddToEpoll,
         static_cast<u64>(entries[i].target_fd));
  }
}

}  // namespace

u64 holder_home() { return g_own_base + kStdioCount + kPassedFds; }

u64 slot_fd(u32 slot) { return group().park_base + slot; }

const wire::FdDetail& detail_of(const FdEntry& entry) {
  static constexpr wire::FdDetail kNone{};
  return entry.value == 0 ? kNone : *reinterpret_cast<const wire::FdDetail*>(wire::kPlanBase + entry.value);
}

void park(i64 fd, u32 slot, const FdEntry& entry) {
  if (slot != wire::kNoSlot) must(raw_syscall(__NR_dup3, fd, slot_fd(slot), O_CLOEXEC), Step::ParkFd, entry.image_fd);
  raw_syscall(__NR_close, fd);
}

void set_status_flags(i64 fd, u32 wanted, u32 now, Step step, const FdEntry& entry) {
  wanted &= kSettableFlags;
  if (wanted != (now & kSettableFlags)) must(raw_syscall(__NR_fcntl, fd, F_SETFL, wanted), step, entry.image_fd);
}

void fill(i64 fd, u64 data, u64 bytes, Step step, const FdEntry& entry) {
  const u8* from = reinterpret_cast<const u8*>(wire::kPlanBase + data);
  while (bytes > 0) {
    const auto written = static_cast<u64>(must(raw_syscall(__NR_write, fd, from, bytes), step, entry.image_fd));
    from += written;
    bytes -= written;
  }
}

void move_inherited_fds(Marker& marker) {
  i32 last_passed = 0;
  i32* const passed[kPassedFds] = {&marker.ids_fd, &marker.plan_fd, &marker.done_fd};
  for (const i32* fd : passed) last_passed = *fd > last_passed ? *fd : last_passed;
  const u64 inherited = max(static_cast<u64>(last_passed + 1), kStdioCount);
  g_own_base = max(group().park_base + group().slot_count, inherited);
  // The table's number must be free before they are closed.
  const u64 own_end = g_own_base + kOwnFds + kFdsToSpare;
  if (group().parked_fd >= g_own_base && group().parked_fd < own_end) g_own_base = group().parked_fd + 1;
  raise_limit(max(g_own_base + kOwnFds + kFdsToSpare, group().parked_fd));
  for (u32 stream = 0; stream < kStdioCount; stream++) {
    const i64 result = raw_syscall(__NR_dup3, stream, g_own_base + stream, O_CLOEXEC);
    if (result == -EBADF) {
      raw_syscall(__NR_close, g_own_base + stream);
    } else {
      must(result, Step::ParkFd, stream);
    }
  }
  u64 home = g_own_base + kStdioCount;
  for (i32* fd : passed) {
    if (*fd < 0) continue;
    must(raw_syscall(__NR_dup3, *fd, home, O_CLOEXEC), Step::ParkFd, static_cast<u64>(*fd));
    *fd = static_cast<i32>(home++);
  }
  // The report is mapped; whatever else was inherited is not the program's.
  marker.report_fd = -1;
  must(raw_syscall(__NR_close_range, 0, g_own_base - 1, 0), Step::ParkFd);
  must(raw_syscall(__NR_close_range, home, ~0U, 0), Step::ParkFd);
}

void create_fds() {
  const auto* entries = plan_entries<FdEntry>(group().fds);
  for (u64 i = 0; i < group().fds.count; i++) {
    create(entries[i]);
    if (entries[i].kind == FdKind::OpenFile || entries[i].kind == FdKind::MemoryFile) lock_description(entries[i]);
  }
  fill_sockets();
  connect_sockets();
  finish_sockets();
  close_pipe_ends();
  fill_epolls();
}

void place_fds() {
  const auto* placements = plan_entries<wire::FdPlacement>(plan().placements);
  for (u64 i = 0; i < plan().placements.count; i++) {
    must(raw_syscall(__NR_dup3, slot_fd(placements[i].slot), placements[i].fd,
                     placements[i].close_on_exec != 0 ? O_CLOEXEC : 0),
         Step::PlaceFd, static_cast<u64>(placements[i].fd));
    if (placements[i].kind == wire::kPlacedSignalfd) {
      must(watch_signalfd(static_cast<u32>(placements[i].fd)), Step::CreateSignalfd,
           static_cast<u64>(placements[i].fd));
    }
  }
  fill_own_epolls();
  if (group().slot_count > 0)
    raw_syscall(__NR_close_range, group().park_base, group().park_base + group().slot_count - 1, 0);
}

void place_table(const Marker& marker) {
  must(park_ids_at(marker.ids_fd, group().parked_fd), Step::ParkFd, group().parked_fd);
}

void keep_limit_of_files() { g_limit_raised = false; }

void drop_inherited_fds(const Marker& marker) {
  // The done pipe stays: once it is closed, the application may be looked at.
  u64 kept[] = {marker.done_fd >= 0 ? static_cast<u64>(marker.done_fd) : group().parked_fd,
                holds_connections() && task_index() == 0 ? holder_home() : group().parked_fd, group().parked_fd};
  if (kept[0] > kept[1]) exchange(kept[0], kept[1]);
  if (kept[1] > kept[2]) exchange(kept[1], kept[2]);
  if (kept[0] > kept[1]) exchange(kept[0], kept[1]);
  u64 from = group().park_base;
  for (u64 fd : kept) {
    if (fd > from) raw_syscall(__NR_close_range, from, fd - 1, 0);
    from = max(from, fd + 1);
  }
  raw_syscall(__NR_close_range, from, ~0U, 0);
  if (g_limit_raised) raw_syscall(__NR_prlimit64, 0, RLIMIT_NOFILE, &g_old_limit, nullptr);
}

}  // namespace stasis::runtime
