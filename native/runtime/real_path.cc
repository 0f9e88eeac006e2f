// The names of programs (see real_path.h).
//
// The kernel tells an open file's name only in /proc/self/fd, and the first look into /proc/PID costs a process 10 us, for
// entries that its end has to drop again. A path without a symbolic link is the name already, so links are replaced by
// hand until openat2(2) meets none. Long chains and whatever else is unusual go by /proc.
#include "runtime/real_path.h"

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>

#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/descriptor.h"

namespace stasis::runtime {

namespace {

constexpr u32 kMostLinks = 3;
constexpr u64 kLinkBytes = 256;  // of a link that is replaced by hand

i64 open_without_links(const char* path) {
  const open_how how{.flags = O_RDONLY | O_CLOEXEC, .mode = 0, .resolve = RESOLVE_NO_SYMLINKS};
  return raw_syscall(__NR_openat2, AT_FDCWD, path, &how, sizeof how);
}

// Puts `text` in the place of [component, rest) of the path, or of all up to `rest` if it is absolute.
bool splice(char* path, char* component, const char* rest, const char* text) {
  const u64 text_bytes = string_length(text), rest_bytes = string_length(rest) + 1;
  char* to = text[0] == '/' ? path : component;
  if (static_cast<u64>(to - path) + text_bytes + rest_bytes > wire::kMaxExePath) return false;
  memmove(to + text_bytes, rest, rest_bytes);
  memcpy(to, text, text_bytes);
  return true;
}

// Replaces the first component that is a symbolic link by what it says, and notes if that is absolute. False if there is
// none, or one that is not for here.
bool replace_link(char* path, bool* absolute) {
  char text[kLinkBytes];
  for (char* component = path + 1; *component != 0;) {
    char* end = component;
    while (*end != '/' && *end != 0) end++;
    const char behind = *end;
    *end = 0;
    const i64 bytes = raw_syscall(__NR_readlinkat, AT_FDCWD, path, text, sizeof text - 1);
    *end = behind;
    if (bytes > 0) {
      if (bytes == sizeof text - 1) return false;
      text[bytes] = 0;
      *absolute |= text[0] == '/';
      return splice(path, component, end, text);
    }
    component = behind == '/' ? end + 1 : end;
  }
  return false;
}

// Takes out empty components, `.` and `..`. Exact only where no component is a link.
void normalize(char* path) {
  char* to = path;
  for (const char* from = path; *from != 0;) {
    while (*from == '/') from++;
    const char* end = from;
    while (*end != '/' && *end != 0) end++;
    const u64 bytes = static_cast<u64>(end - from);
    if (bytes == 2 && from[0] == '.' && from[1] == '.') {
      while (to > path && *--to != '/') continue;
    } else if (bytes > 0 && !(bytes == 1 && from[0] == '.')) {
      *to++ = '/';
      memmove(to, from, bytes);
      to += bytes;
    }
    from = end;
  }
  *to = 0;
}

// The links of a procfs lead elsewhere than the absolute path they show says, at times. One that is met elsewhere than at
// /proc shows in this.
bool is_same_file(i64 fd, const char* path) {
  struct stat opened, named;
  return raw_syscall(__NR_fstat, fd, &opened) == 0 && raw_syscall(__NR_newfstatat, AT_FDCWD, path, &named, 0) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

// A path from the root on; not if the working directory has none.
bool make_absolute(const char* path, char* real) {
  if (path[0] == '/') {
    copy_string(real, wire::kMaxExePath, path);
    return true;
  }
  const i64 bytes = raw_syscall(__NR_getcwd, real, wire::kMaxExePath);  // with the NUL
  if (bytes <= 0 || real[0] != '/' || bytes + string_length(path) >= wire::kMaxExePath) return false;
  write_text(write_text(real + bytes - 1, "/"), path);
  return true;
}

// The file, with its name in `real`, or -1.
i64 open_by_hand(const char* path, char* real) {
  if (!make_absolute(path, real)) return -1;
  bool absolute = false;
  for (u32 links = 0; !starts_with(real, "/proc/"); links++) {
    const i64 fd = open_without_links(real);
    if (fd >= 0) {
      normalize(real);
      if (!absolute || is_same_file(fd, path)) return fd;
      raw_syscall(__NR_close, fd);
    }
    if (fd != -ELOOP || links == kMostLinks || !replace_link(real, &absolute)) break;
  }
  return -1;
}

}  // namespace

void read_real_path(i32 fd, char* real) {
  char link[40];
  write_decimal(write_text(link, "/proc/thread-self/fd/"), static_cast<u64>(fd));
  const i64 length = raw_syscall(__NR_readlinkat, AT_FDCWD, link, real, wire::kMaxExePath - 1);
  if (length > 0) real[length] = 0;
}

i64 open_by_real_path(const char* path, char* real) {
  i64 fd = open_by_hand(path, real);
  if (fd >= 0) return fd;
  copy_string(real, wire::kMaxExePath, path);
  fd = raw_syscall(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd >= 0) read_real_path(static_cast<i32>(fd), real);
  return fd;
}

}  // namespace stasis::runtime
