// Files of a restored process that have no name any more, and locks.
#include <linux/fcntl.h>

#include "runtime/restore.h"
#include "runtime/syscall.h"
#include "runtime/text.h"
#include "runtime/watches.h"

namespace stasis::runtime {

namespace {

using wire::FdEntry;
using wire::LockEntry;
using wire::LockKind;
using wire::Step;

constexpr char kDeletedMark[] = " (deleted)";
constexpr u32 kCurrent = 0xffffff9c;     // AT_FDCWD
constexpr u32 kRemoveDirectory = 0x200;  // AT_REMOVEDIR
constexpr u32 kNoWait = 4;               // LOCK_NB
constexpr u32 kSetSignal = 10;           // F_SETSIG

struct KernelLock {  // struct flock
  u16 type, whence;
  i64 start, length;
  i32 pid;
};

// The nearest directory above `path` that is there, opened; what is left of the path is cut off.
i64 open_above(char* path) {
  while (true) {
    char* end = path + string_length(path);
    while (end > path && *end != '/') end--;
    *end = 0;
    const i64 fd = raw_syscall(__NR_open, end == path ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (!is_error(fd) || end == path) return fd;
  }
}

// A new directory without a name, near where it was; opened with `flags`.
i64 make_removed_directory(const char* place, u32 flags, u32 mode) {
  char path[512], name[40];
  if (string_length(place) >= sizeof path) return -ENAMETOOLONG;
  copy_string(path, sizeof path, place);
  const i64 above = open_above(path);
  if (is_error(above)) return above;
  write_decimal(write_text(name, ".stasis-removed-"), static_cast<u64>(raw_syscall(__NR_getpid)));
  i64 result = raw_syscall(__NR_mkdirat, above, name, 0700);
  if (!is_error(result)) {
    result = raw_syscall(__NR_openat, above, name, flags | O_DIRECTORY | O_CLOEXEC, 0);
    if (!is_error(result)) raw_syscall(__NR_fchmod, result, mode);
    raw_syscall(__NR_unlinkat, above, name, kRemoveDirectory);
  }
  raw_syscall(__NR_close, above);
  return result;
}

void set_lock(i64 fd, const LockEntry& entry, u64 subject) {
  i64 result;
  if (entry.kind == LockKind::Whole) {
    result = raw_syscall(__NR_flock, fd, entry.type | kNoWait);
  } else if (entry.kind == LockKind::Lease) {
    result = raw_syscall(__NR_fcntl, fd, F_SETLEASE, entry.type);
  } else {
    const KernelLock lock = {static_cast<u16>(entry.type), 0, entry.start, entry.length, 0};
    result = raw_syscall(__NR_fcntl, fd, entry.kind == LockKind::Description ? F_OFD_SETLK : F_SETLK, &lock);
  }
  must(result, Step::SetLock, subject, 0, plan_text(entry.path));
}

}  // namespace

bool enter_removed_directory(const char* path) {
  const u64 length = string_length(path), mark = sizeof kDeletedMark - 1;
  if (length <= mark || !string_equal(path + length - mark, kDeletedMark)) return false;
  const i64 fd = make_removed_directory(path, O_RDONLY, 0700);
  if (is_error(fd)) return false;
  const i64 result = raw_syscall(__NR_fchdir, fd);
  raw_syscall(__NR_close, fd);
  return !is_error(result);
}

void open_removed_directory(const FdEntry& entry) {
  const char* path = plan_text(entry.path);
  park(must(make_removed_directory(path, entry.flags, detail_of(entry).mode), Step::OpenDescriptor, entry.image_fd, 0,
            path),
       entry.slot, entry);
}

void lock_description(const FdEntry& entry) {
  const wire::FdDetail& detail = detail_of(entry);
  const u64 fd = slot_fd(entry.slot);
  if (detail.signal != 0) raw_syscall(__NR_fcntl, fd, kSetSignal, detail.signal);
  const auto* locks = plan_entries<LockEntry>(detail.locks);
  for (u64 i = 0; i < detail.locks.count; i++) set_lock(static_cast<i64>(fd), locks[i], entry.image_fd);
}

// Behind the last close of any descriptor, which drops the process's locks on its file.
void set_process_locks() {
  const auto* locks = plan_entries<LockEntry>(plan().locks);
  for (u64 i = 0; i < plan().locks.count; i++) set_lock(locks[i].fd, locks[i], locks[i].fd);
}

// The kernel gives numbers in their order: those in between are used up by watches that are taken away again, with the event
// that tells so.
void create_inotify(const FdEntry& entry) {
  const wire::FdDetail& detail = detail_of(entry);
  const i64 fd = must(raw_syscall(__NR_inotify_init1, O_CLOEXEC | O_NONBLOCK), Step::AddWatch, entry.image_fd);
  const auto* watches = plan_entries<wire::WatchEntry>(detail.watches);
  for (u64 i = 0; i < detail.watches.count; i++) {
    const char* path = plan_text(watches[i].path);
    while (true) {
      const i64 number =
          must(raw_syscall(__NR_inotify_add_watch, fd, path, watches[i].mask), Step::AddWatch, entry.image_fd, 0, path);
      if (number == static_cast<i64>(watches[i].number)) break;
      if (number > static_cast<i64>(watches[i].number)) must(-EEXIST, Step::AddWatch, entry.image_fd, 0, path);
      u8 events[512];
      raw_syscall(__NR_inotify_rm_watch, fd, number);
      raw_syscall(__NR_read, fd, events, sizeof events);
    }
    note_watch(path);
  }
  set_status_flags(fd, entry.flags, O_NONBLOCK, Step::AddWatch, entry);
  park(fd, entry.slot, entry);
}

i64 open_unnamed(const char* directory, u32 mode) {
  const i64 fd = raw_syscall(__NR_openat, kCurrent, directory, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
  if (!is_error(fd)) raw_syscall(__NR_fchmod, fd, mode);
  return fd;
}

}  // namespace stasis::runtime
