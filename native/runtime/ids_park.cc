// Keeping the translation table's memfd open over execs (see ids_park.h).
#include "runtime/ids_park.h"

#include <asm/stat.h>
#include <linux/fcntl.h>

#include "runtime/ids.h"
#include "runtime/ids_table.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

bool is_table(i64 fd) {
  struct stat status;
  const wire::IdTableHeader& header = *id_table().header();
  return raw_syscall(__NR_fstat, fd, &status) == 0 && status.st_dev == header.device && status.st_ino == header.inode;
}

// The keeper holds the memfd as well.
i64 take_from_keeper(i32 parked) {
  const wire::IdTableHeader& header = *id_table().header();
  if (header.keeper_pid == 0) return -EACCES;
  char link[48];
  char* end = write_decimal(write_text(link, "/proc/"), header.keeper_pid);
  write_decimal(write_text(end, "/fd/"), header.keeper_fd);
  const i64 fd = raw_syscall(__NR_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return -EACCES;
  i64 result = is_table(fd) ? raw_syscall(__NR_dup3, fd, parked, 0) : -EACCES;
  raw_syscall(__NR_close, fd);
  return result < 0 ? -EACCES : 0;
}

}  // namespace

i64 prepare_parked_ids() {
  if (!ids_on()) return 0;
  if (!check_header(*id_table().header())) return -ENOEXEC;
  const i32 parked = parked_fd();
  if (!is_table(parked)) return take_from_keeper(parked);
  // FIOCLEX of ioctl(2) is nobody's to forbid.
  const i64 flags = raw_syscall(__NR_fcntl, parked, F_GETFD, 0);
  if (flags > 0) raw_syscall(__NR_fcntl, parked, F_SETFD, 0);
  return 0;
}

void withhold_ids() {
  if (ids_on()) raw_syscall(__NR_fcntl, parked_fd(), F_SETFD, FD_CLOEXEC);
}

}  // namespace stasis::runtime
