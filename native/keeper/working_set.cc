#include "keeper/working_set.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/page_scan.h"
#include "wire/layout.h"
#include "wire/working_set.h"

namespace stasis::keeper {

namespace {

using wire::kPageBytes;

constexpr size_t kMapsBytes = 64 * 1024;  // longer than any line: a path has at most PATH_MAX bytes, escapes four each
constexpr size_t kEntriesAtOnce = 1024;

struct File {
  wire::WorkingSetHeader header;
  wire::WorkingSetRange ranges[wire::kWorkingSetMaxRanges];
};

// Static: larger than what belongs on a stack, and used once.
File g_file;
char g_maps[kMapsBytes];
ScanRegion g_regions[kEntriesAtOnce];
u64 g_entries[kEntriesAtOnce];

class Recorder {
 public:
  Recorder(int pagemap, const char* page_file) : pagemap_(pagemap), page_file_(page_file) {}

  bool read_maps(int maps);

 private:
  void take_line(char* line);
  bool scan(u64 start, u64 end);
  void read_entries(u64 start, u64 end);
  void add(u64 start, u64 end);
  bool is_full() const { return pages_ == wire::kWorkingSetMaxPages; }

  int pagemap_;
  const char* page_file_;
  bool scan_works_ = true;
  u64 pages_ = 0;
};

void Recorder::add(u64 start, u64 end) {
  if (end <= start || is_full()) return;
  u64 pages = (end - start) / kPageBytes;
  if (pages > wire::kWorkingSetMaxPages - pages_) pages = wire::kWorkingSetMaxPages - pages_;
  u64& count = g_file.header.count;
  wire::WorkingSetRange* last = count > 0 ? &g_file.ranges[count - 1] : nullptr;
  if (last != nullptr && last->address + last->pages * kPageBytes == start) {
    last->pages += pages;
  } else if (count < wire::kWorkingSetMaxRanges) {
    g_file.ranges[count++] = {start, pages};
  } else {
    return;
  }
  pages_ += pages;
}

// False where the kernel has no such call.
bool Recorder::scan(u64 start, u64 end) {
  while (start < end) {
    ScanArgument argument = scan_of_private_pages(start, end, g_regions, kEntriesAtOnce);
    const int count = ioctl_scan(pagemap_, argument);
    if (count < 0) return errno != ENOTTY && errno != EINVAL;
    for (int i = 0; i < count; ++i) add(g_regions[i].start, g_regions[i].end);
    if (static_cast<size_t>(count) < kEntriesAtOnce) return true;
    start = g_regions[count - 1].end;
  }
  return true;
}

void Recorder::read_entries(u64 start, u64 end) {
  while (start < end) {
    u64 wanted = (end - start) / kPageBytes;
    if (wanted > kEntriesAtOnce) wanted = kEntriesAtOnce;
    const ssize_t got = pread(pagemap_, g_entries, wanted * 8, static_cast<off_t>(start / kPageBytes * 8));
    if (got < 8) return;
    for (ssize_t i = 0; i < got / 8; ++i, start += kPageBytes) {
      if (is_private_entry(g_entries[i])) add(start, start + kPageBytes);
    }
  }
}

// start-end rwxp offset major:minor inode      path
void Recorder::take_line(char* line) {
  char permissions[5];
  unsigned long start = 0, end = 0;
  int path = 0;
  if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %*u %n", &start, &end, permissions, &path) != 3 || path == 0) return;
  if (permissions[1] != 'w' || permissions[3] != 'p' || strcmp(line + path, page_file_) != 0 || is_full()) return;
  if (scan_works_) scan_works_ = scan(start, end);
  if (!scan_works_) read_entries(start, end);
}

bool Recorder::read_maps(int maps) {
  size_t used = 0;
  for (;;) {
    const ssize_t got = read(maps, g_maps + used, kMapsBytes - used);
    if (got < 0) return false;
    if (got == 0) return used == 0;
    used += static_cast<size_t>(got);
    char* line = g_maps;
    char* const end = g_maps + used;
    while (char* newline = static_cast<char*>(memchr(line, '\n', static_cast<size_t>(end - line)))) {
      *newline = '\0';
      take_line(line);
      line = newline + 1;
    }
    used = static_cast<size_t>(end - line);
    memmove(g_maps, line, used);
  }
}

int open_of(pid_t pid, const char* name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return open(path, O_RDONLY | O_CLOEXEC);
}

void write_file(const char* file) {
  char temporary[PATH_MAX];
  // Several applications may be restored from the image for the first time at once: the last one counts.
  const int length = snprintf(temporary, sizeof temporary, "%s.%d.new", file, getpid());
  if (length >= static_cast<int>(sizeof temporary)) return;
  const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  const size_t bytes = sizeof g_file.header + g_file.header.count * sizeof g_file.ranges[0];
  const bool written = write(fd, &g_file, bytes) == static_cast<ssize_t>(bytes);
  close(fd);
  if (!written || rename(temporary, file) != 0) unlink(temporary);
}

}  // namespace

void record_working_set(pid_t pid, const WorkingSet& set) {
  const int pagemap = open_of(pid, "pagemap"), maps = open_of(pid, "maps");
  g_file.header = {};
  g_file.header.magic = wire::kWorkingSetMagic;
  snprintf(g_file.header.stamp, sizeof g_file.header.stamp, "%s", set.stamp);
  Recorder recorder(pagemap, set.page_file);
  // Nothing is found once the snapshot is removed, since the path in maps has changed: no file is left behind then.
  const bool found = pagemap >= 0 && maps >= 0 && recorder.read_maps(maps) && g_file.header.count > 0;
  if (found) write_file(set.file);
  if (pagemap >= 0) close(pagemap);
  if (maps >= 0) close(maps);
}

}  // namespace stasis::keeper
