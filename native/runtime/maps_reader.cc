// The lines of /proc/self/maps (see maps_reader.h).
#include "runtime/maps_reader.h"

#include <linux/fcntl.h>

#include "runtime/syscall.h"

namespace stasis::runtime {

MapsReader::MapsReader() : fd_(raw_syscall(__NR_openat, AT_FDCWD, "/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0)) {}

MapsReader::~MapsReader() {
  if (fd_ >= 0) raw_syscall(__NR_close, fd_);
}

i32 MapsReader::get() {
  if (used_ == filled_) {
    i64 bytes = fd_ < 0 ? fd_ : raw_syscall(__NR_read, fd_, buffer_, sizeof buffer_);
    if (bytes <= 0) return -1;
    used_ = 0;
    filled_ = static_cast<u32>(bytes);
  }
  return static_cast<u8>(buffer_[used_++]);
}

u64 MapsReader::hex(i32* stopped_at) {
  u64 value = 0;
  for (;;) {
    i32 c = get();
    if (c >= '0' && c <= '9') {
      value = value << 4 | static_cast<u64>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value << 4 | static_cast<u64>(c - 'a' + 10);
    } else {
      *stopped_at = c;
      return value;
    }
  }
}

// BEGIN-END rwxp OFFSET MAJOR:MINOR INODE   NAME
bool MapsReader::next(MapsLine* line) {
  i32 c;
  line->begin = hex(&c);
  if (c != '-') return false;
  line->end = hex(&c);
  for (u32 field = 0; field < 4; field++) {
    while ((c = get()) != ' ') {
      if (c == '\n' || c < 0) break;
    }
    if (c != ' ') break;
  }
  while (c == ' ') c = get();
  u32 length = 0;
  for (; c != '\n' && c >= 0; c = get()) {
    if (length + 1 < sizeof line->name) line->name[length++] = static_cast<char>(c);
  }
  line->name[length] = 0;
  return true;
}

}  // namespace stasis::runtime
