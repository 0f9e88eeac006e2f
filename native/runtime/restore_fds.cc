// File descriptors of a restored process.
//
//     0 .. park_base - 1                 the program's numbers; also where new fds appear before they are parked
//     park_base .. + slot_count - 1      parked: one number for each end of an open file description
//     above                              the restorer's own: inherited stdio, the table of ids, the done pipe
//
// Every object is made, parked at its slot, and at last duplicated to each of its numbers; then everything from
// park_base up is closed.
#include <linux/fcntl.h>
#include <linux/resource.h>
#include <linux/stat.h>

#include "runtime/ids.h"
#include "runtime/restore.h"
#include "runtime/syscall.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::FdKind;
using wire::Step;

constexpr u32 kStdioCount = 3;
constexpr u32 kOwnFds = kStdioCount + 2;  // and the table of ids and the done pipe
constexpr u64 kFdsToSpare = 4;            // that exist for a moment while the highest slot is filled
constexpr u32 kEfdSemaphore = 1;          // EFD_SEMAPHORE
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

u64 slot_fd(u32 slot) { return plan().park_base + slot; }

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

// A stream that the restorer does not have is /dev/null: the program knows the number as open.
void take_stdio(const FdEntry& entry) {
  i64 fd = raw_syscall(__NR_fcntl, g_own_base + entry.value, F_DUPFD_CLOEXEC, 0);
  if (fd == -EBADF) fd = raw_syscall(__NR_open, "/dev/null", O_RDWR | O_CLOEXEC, 0);
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
  }
}

struct __attribute__((packed)) KernelEpollEvent {
  u32 events;
  u64 data;
};

void fill_epolls() {
  const auto* entries = plan_entries<wire::EpollEntry>(plan().epoll_entries);
  for (u64 i = 0; i < plan().epoll_entries.count; i++) {
    const KernelEpollEvent event = {.events = entries[i].events, .data = entries[i].data};
    must(raw_syscall(__NR_epoll_ctl, entries[i].epoll_fd, kEpollAdd, entries[i].target_fd, &event), Step::AddToEpoll,
         static_cast<u64>(entries[i].target_fd));
  }
}

}  // namespace

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
  const i32 last_passed = marker.done_fd > marker.ids_fd ? marker.done_fd : marker.ids_fd;
  const u64 inherited = max(static_cast<u64>(last_passed + 1), kStdioCount);
  // Files to map are opened at 0 and up (restore_memory.cc) and must not run into the restorer's own.
  g_own_base = max(max(plan().park_base + plan().slot_count, plan().files.count), inherited);
  // The table's number must be free before they are closed.
  const u64 own_end = g_own_base + kOwnFds + kFdsToSpare;
  if (plan().parked_fd >= g_own_base && plan().parked_fd < own_end) g_own_base = plan().parked_fd + 1;
  raise_limit(max(g_own_base + kOwnFds + kFdsToSpare, plan().parked_fd));
  for (u32 stream = 0; stream < kStdioCount; stream++) {
    const i64 result = raw_syscall(__NR_dup3, stream, g_own_base + stream, O_CLOEXEC);
    if (result == -EBADF) {
      raw_syscall(__NR_close, g_own_base + stream);
    } else {
      must(result, Step::ParkFd, stream);
    }
  }
  const u64 ids_home = g_own_base + kStdioCount, done_home = ids_home + 1;
  must(raw_syscall(__NR_dup3, marker.ids_fd, ids_home, O_CLOEXEC), Step::ParkFd, static_cast<u64>(marker.ids_fd));
  marker.ids_fd = static_cast<i32>(ids_home);
  if (marker.done_fd >= 0) {
    must(raw_syscall(__NR_dup3, marker.done_fd, done_home, O_CLOEXEC), Step::ParkFd, static_cast<u64>(marker.done_fd));
    marker.done_fd = static_cast<i32>(done_home);
  }
  // The plan and the report are mapped; whatever else was inherited is not the program's.
  marker.plan_fd = -1;
  marker.report_fd = -1;
  must(raw_syscall(__NR_close_range, 0, g_own_base - 1, 0), Step::ParkFd);
  must(raw_syscall(__NR_close_range, done_home + (marker.done_fd >= 0 ? 1 : 0), ~0U, 0), Step::ParkFd);
}

void create_fds() {
  const auto* entries = plan_entries<FdEntry>(plan().fds);
  for (u64 i = 0; i < plan().fds.count; i++) create(entries[i]);
}

void place_fds() {
  const auto* placements = plan_entries<wire::FdPlacement>(plan().placements);
  for (u64 i = 0; i < plan().placements.count; i++) {
    must(raw_syscall(__NR_dup3, slot_fd(placements[i].slot), placements[i].fd,
                     placements[i].close_on_exec != 0 ? O_CLOEXEC : 0),
         Step::PlaceFd, static_cast<u64>(placements[i].fd));
  }
  fill_epolls();
  if (plan().slot_count > 0)
    raw_syscall(__NR_close_range, plan().park_base, plan().park_base + plan().slot_count - 1, 0);
}

void place_table(const Marker& marker) {
  must(park_ids_at(marker.ids_fd, plan().parked_fd), Step::ParkFd, plan().parked_fd);
}

void keep_limit_of_files() { g_limit_raised = false; }

void drop_inherited_fds() {
  const u64 number = plan().parked_fd, first = plan().park_base;
  if (number > first) raw_syscall(__NR_close_range, first, number - 1, 0);
  raw_syscall(__NR_close_range, max(first, number + 1), ~0U, 0);
  if (g_limit_raised) raw_syscall(__NR_prlimit64, 0, RLIMIT_NOFILE, &g_old_limit, nullptr);
}

}  // namespace stasis::runtime
