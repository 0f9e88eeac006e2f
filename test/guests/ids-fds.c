// The descriptors of a process are those that it opened: none more is listed, open or in the way, and closing all there can be harms
// nothing.
// build: static musl
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "ids.h"

// musl has no headers of the kernel.
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2u
#define CLOSE_RANGE_CLOEXEC 4u
#endif

enum { kNumbers = 4096 };

static char listed[kNumbers];

static int list(const char* directory) {
  memset(listed, 0, sizeof listed);
  DIR* stream = opendir(directory);
  CHECK(stream);
  int count = 0;
  for (struct dirent* entry; (entry = readdir(stream));) {
    if (entry->d_name[0] == '.') continue;
    int fd = atoi(entry->d_name);
    CHECK(fd >= 0 && fd < kNumbers && !listed[fd]);
    if (fd == dirfd(stream)) continue;
    listed[fd] = 1;
    count++;
  }
  closedir(stream);
  return count;
}

static int is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static void listing(void) {
  int before = list("/proc/self/fd");
  for (int fd = 0; fd < kNumbers; fd++) CHECK(is_open(fd) == listed[fd]);
  CHECK(list("/dev/fd") == before && list("/proc/self/fdinfo") == before && list("/proc/thread-self/fd") == before);
  int three[3];
  for (int i = 0; i < 3; i++) CHECK((three[i] = open("/dev/null", O_RDWR)) >= 0);
  CHECK(list("/proc/self/fd") == before + 3 && listed[three[0]] && listed[three[2]]);
  for (int i = 0; i < 3; i++) CHECK(close(three[i]) == 0);
}

static void unused_numbers(void) {
  list("/proc/self/fd");
  char path[64], link[64];
  struct stat status;
  int refused = 0;
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  for (int fd = 0; fd < kNumbers && fd < (int)limit.rlim_cur; fd++) {
    if (listed[fd]) continue;
    CHECK(close(fd) == -1 && errno == EBADF);
    CHECK(fcntl(fd, F_GETFL) == -1 && errno == EBADF);
    CHECK(dup2(fd, fd) == -1 && errno == EBADF);
    if (fd % 64 < 62) continue;
    const char* names[] = {"/proc/self/fd/%d", "/proc/self/fdinfo/%d", "/dev/fd/%d"};
    for (int i = 0; i < 3; i++) {
      snprintf(path, sizeof path, names[i], fd);
      CHECK(stat(path, &status) == -1 && errno == ENOENT);
      CHECK(open(path, O_RDONLY) == -1 && errno == ENOENT);
      CHECK(readlink(path, link, sizeof link) == -1 && errno == ENOENT);
    }
    CHECK(syscall(SYS_dup3, 1, fd, 0x10) == -1 && errno == EINVAL);
    // One number may be as if it were above the limit.
    int copy = dup2(1, fd);
    CHECK(copy == fd || (copy == -1 && errno == EBADF));
    refused += copy == -1;
    CHECK(copy == -1 || close(fd) == 0);
  }
  CHECK(refused <= 1);
}

static void ranges(void) {
  int low = open("/dev/null", O_RDONLY), high = fcntl(low, F_DUPFD, 700);
  CHECK(high >= 700);
  CHECK(syscall(SYS_close_range, 10, 9, 0) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_close_range, 600, ~0u, 0x8000) == -1 && errno == EINVAL);
  CHECK(is_open(high));
  CHECK(syscall(SYS_close_range, 600, ~0u, CLOSE_RANGE_CLOEXEC) == 0);
  CHECK(fcntl(high, F_GETFD) == FD_CLOEXEC && fcntl(low, F_GETFD) == 0);
  CHECK(syscall(SYS_close_range, 600, ~0u, CLOSE_RANGE_UNSHARE) == 0 && !is_open(high) && is_open(low));
  CHECK(syscall(SYS_close_range, 3, ~0u, 0) == 0 && !is_open(low));
  for (int fd = 3; fd < kNumbers; fd++) CHECK(syscall(SYS_close_range, fd, fd, 0) == 0);
  CHECK(list("/proc/self/fd") == 3);
}

// All is closed: children and execs go on as before.
static void afterwards(char** words) {
  pid_t self = getpid(), child = fork();
  if (child == 0) _exit(getppid() == self ? 7 : 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  char text[16];
  snprintf(text, sizeof text, "%d", self);
  execl(words[0], words[0], text, NULL);
  CHECK(!"execl");
}

int main(int count, char** words) {
  if (count == 2) {
    CHECK(getpid() == atoi(words[1]));
    CHECK_ID(getpid());
    CHECK(list("/proc/self/fd") == 3);
    return guest_pass();
  }
  listing();
  unused_numbers();
  ranges();
  afterwards(words);
}
