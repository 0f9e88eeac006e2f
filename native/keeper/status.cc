#include "keeper/status.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace stasis::keeper {

namespace {

constexpr char kFile[] = "status";
constexpr char kNewFile[] = "status.new";

const char* name_of(State state) {
  switch (state) {
    case State::Starting:
      return "starting";
    case State::Running:
      return "running";
    case State::Exited:
      return "exited";
    case State::Signaled:
      return "signaled";
    case State::Checkpointed:
      return "checkpointed";
  }
  return "";
}

}  // namespace

int format_status(const ApplicationStatus& status, char* text, int capacity) {
  int length = 0;
  auto add = [&](const char* format, auto value) {
    if (length < capacity) length += snprintf(text + length, static_cast<size_t>(capacity - length), format, value);
  };
  add("state=%s\n", name_of(status.state));
  if (status.pid != 0) add("pid=%d\n", status.pid);
  if (status.start != 0) add("start=%lu\n", status.start);
  add("keeper=%d\n", status.keeper);
  add("keeper_start=%lu\n", status.keeper_start);
  if (status.state == State::Exited) add("code=%d\n", status.code);
  if (status.state == State::Signaled) add("signal=%d\n", status.signal);
  if (status.ended_ms != 0) add("ended=%ld\n", status.ended_ms);
  if (status.state == State::Checkpointed) add("snapshot=%s\n", status.snapshot);
  return length < capacity ? length : capacity - 1;
}

bool StatusFile::prepare(const ApplicationStatus& status) {
  char text[PATH_MAX + 512];
  int length = format_status(status, text, sizeof text);
  int fd = openat(directory_, kNewFile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return false;
  // With its blocks allocated now, the rename over an older file need not make ext4 allocate and flush them
  // (auto_da_alloc, ext4(5)). Best effort: not every file system can.
  fallocate(fd, 0, 0, length);
  bool written = ::write(fd, text, static_cast<size_t>(length)) == length;
  close(fd);
  return written;
}

bool StatusFile::publish() { return renameat(directory_, kNewFile, directory_, kFile) == 0; }

void StatusFile::remove() {
  unlinkat(directory_, kNewFile, 0);
  unlinkat(directory_, kFile, 0);
}

u64 start_time_of(pid_t pid) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[1024];
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return 0;
  text[length] = '\0';
  // The name in parentheses may hold anything, so count from the last one: state is field 3, the start time field 22.
  const char* at = strrchr(text, ')');
  for (int field = 2; at != nullptr && field < 22; ++field) {
    at = strchr(at, ' ');
    if (at != nullptr) ++at;
  }
  return at != nullptr ? strtoul(at, nullptr, 10) : 0;
}

}  // namespace stasis::keeper
