// Processes and threads in /proc under the numbers that the program knows: by absolute and relative paths, in listings and in links.
// build: static musl
#include <dirent.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "ids.h"

// struct open_how of linux/openat2.h, which musl does not find.
struct how {
  uint64_t flags, mode, resolve;
};

static pid_t child;

// A child whose name tells that it was found.
static void start_child(void) {
  int ends[2];
  char ready;
  CHECK(pipe(ends) == 0);
  child = fork();
  if (child == 0) {
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && prctl(PR_SET_NAME, "the child") == 0 && chdir("/usr") == 0 &&
          write(ends[1], "x", 1) == 1);
    for (;;) pause();
  }
  CHECK_ID(child);
  CHECK(read(ends[0], &ready, 1) == 1 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

static int is_child(int directory, const char* path) {
  char text[32] = "";
  int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  CHECK(read(fd, text, sizeof text - 1) > 0 && close(fd) == 0);
  return strcmp(text, "the child\n") == 0;
}

static const char* named(const char* format, pid_t pid) {
  static char path[4][8192];
  static int turn;
  turn = (turn + 1) % 4;
  snprintf(path[turn], sizeof path[turn], format, pid, pid);
  return path[turn];
}

static void paths(void) {
  const char* absolute[] = {
      "/proc/%d/comm",         "//proc//%d///comm",          "/./proc/./%d/./comm",         "/proc/self/../%d/comm",
      "/proc/%d/task/%d/comm", "/proc/%d/root/proc/%d/comm", "/proc/self/root/proc/%d/comm"};
  for (int i = 0; i < 7; i++) CHECK(is_child(AT_FDCWD, named(absolute[i], child)));
  int root = open("/proc", O_RDONLY | O_DIRECTORY), own = open("/proc/self", O_PATH), system = open("/", O_PATH);
  int process = open(named("/proc/%d", child), O_PATH | O_DIRECTORY), tasks = openat(process, "task", O_RDONLY);
  CHECK(root >= 0 && own >= 0 && system >= 0 && process >= 0 && tasks >= 0);
  CHECK(is_child(root, named("%d/comm", child)) && is_child(root, named("./%d/task/%d/comm", child)));
  CHECK(is_child(own, named("../%d/comm", child)) && is_child(process, "comm"));
  CHECK(is_child(process, named("task/%d/comm", child)) && is_child(tasks, named("%d/comm", child)));
  CHECK(is_child(system, named("proc/%d/comm", child)) && is_child(tasks, named("../../../proc/%d/comm", child)));
  char directory[512];
  CHECK(getcwd(directory, sizeof directory));
  CHECK(chdir("/proc") == 0 && is_child(AT_FDCWD, named("%d/comm", child)));
  CHECK(chdir("/usr") == 0 && is_child(AT_FDCWD, named("../proc/%d/comm", child)));
  CHECK(chdir("/") == 0 && is_child(AT_FDCWD, named("proc/%d/comm", child)));
  CHECK(chdir(named("/proc/%d/task", child)) == 0 && is_child(AT_FDCWD, named("%d/comm", child)));
  char here[64], link[64] = "";
  CHECK(getcwd(here, sizeof here) && strcmp(here, named("/proc/%d/task", child)) == 0);
  CHECK(syscall(SYS_getcwd, here, 4) == -1 && errno == ERANGE);
  CHECK(readlink("/proc/self/cwd", link, sizeof link) > 0 && strcmp(link, here) == 0);
  memset(link, 0, sizeof link);
  CHECK(readlink(named("/proc/self/fd/%d", tasks), link, sizeof link) > 0 && strcmp(link, here) == 0);
  CHECK(chdir(directory) == 0);
  close(root), close(own), close(system), close(process), close(tasks);
}

// Each call that takes a path, with a process that is there and with one that is not.
static void calls(pid_t ended) {
  const char* there = named("/proc/%d", child);
  char gone[32], link[32];
  snprintf(gone, sizeof gone, "/proc/%d", ended);
  struct stat status;
  uint8_t wide[256];  // struct statx
  uint16_t mode;
  struct statfs system;
  struct how how = {.flags = O_RDONLY | O_CLOEXEC};
  int fd = open(there, O_RDONLY), watch = inotify_init1(IN_CLOEXEC);
  CHECK(fd >= 0 && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode) && close(fd) == 0);
  CHECK(open(gone, O_RDONLY) == -1 && errno == ENOENT);
  CHECK((fd = (int)syscall(SYS_openat2, AT_FDCWD, there, &how, sizeof how)) >= 0 && close(fd) == 0);
  CHECK(syscall(SYS_openat2, AT_FDCWD, gone, &how, sizeof how) == -1 && errno == ENOENT);
  CHECK(syscall(SYS_openat2, AT_FDCWD, there, &how, 8) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_openat2, AT_FDCWD, there, 8, sizeof how) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_stat, there, &status) == 0 && S_ISDIR(status.st_mode));
  CHECK(syscall(SYS_stat, gone, &status) == -1 && errno == ENOENT);
  CHECK(syscall(SYS_lstat, there, &status) == 0 && syscall(SYS_lstat, gone, &status) == -1 && errno == ENOENT);
  CHECK(syscall(SYS_newfstatat, AT_FDCWD, there, &status, 0) == 0);
  CHECK(syscall(SYS_newfstatat, AT_FDCWD, gone, &status, 0) == -1 && errno == ENOENT);
  CHECK(syscall(SYS_statx, AT_FDCWD, there, 0, 1, wide) == 0);
  memcpy(&mode, wide + 28, sizeof mode);
  CHECK(S_ISDIR(mode));
  CHECK(syscall(SYS_statx, AT_FDCWD, gone, 0, 1, wide) == -1 && errno == ENOENT);
  CHECK(syscall(SYS_access, there, F_OK) == 0 && syscall(SYS_access, gone, F_OK) == -1 && errno == ENOENT);
  CHECK(syscall(SYS_faccessat, AT_FDCWD, there, F_OK) == 0);
  CHECK(syscall(SYS_faccessat, AT_FDCWD, gone, F_OK) == -1 && errno == ENOENT);
  CHECK(statfs(there, &system) == 0 && system.f_type == 0x9fa0 && statfs(gone, &system) == -1 && errno == ENOENT);
  CHECK(chdir(gone) == -1 && errno == ENOENT);
  CHECK(inotify_add_watch(watch, there, IN_OPEN) >= 0 && inotify_add_watch(watch, gone, IN_OPEN) == -1 &&
        errno == ENOENT);
  CHECK(readlink(named("/proc/%d/cwd", child), link, sizeof link) == 4 && memcmp(link, "/usr", 4) == 0);
  CHECK(readlink(named("/proc/%d/cwd", ended), link, sizeof link) == -1 && errno == ENOENT);
  CHECK(readlink(there, link, sizeof link) == -1 && errno == EINVAL);
  char value[64];
  CHECK(getxattr(there, "user.none", value, sizeof value) == -1 && errno != ENOENT);
  CHECK(lgetxattr(gone, "user.none", value, sizeof value) == -1 && errno == ENOENT);
  CHECK(llistxattr(gone, value, sizeof value) == -1 && errno == ENOENT);
  CHECK(opendir(gone) == NULL && errno == ENOENT);
  CHECK(open(named("/proc/0%d", child), O_RDONLY) == -1 && errno == ENOENT);
  CHECK(open("/proc/99999999999999999999", O_RDONLY) == -1 && errno == ENOENT);
  close(watch);
}

static void* thread(void* unused) {
  (void)unused;
  char link[64] = "", expected[64];
  snprintf(expected, sizeof expected, "%d/task/%ld", getpid(), syscall(SYS_gettid));
  CHECK(readlink("/proc/thread-self", link, sizeof link) == (ssize_t)strlen(expected) && strcmp(link, expected) == 0);
  snprintf(expected, sizeof expected, "/proc/self/task/%ld/comm", syscall(SYS_gettid));
  CHECK(access(expected, R_OK) == 0);
  int entries = 0, found = 0;
  DIR* stream = opendir("/proc/self/task");
  for (struct dirent* entry; (entry = readdir(stream));) {
    if (entry->d_name[0] == '.') continue;
    entries++;
    CHECK_ID(atoi(entry->d_name));
    found += atoi(entry->d_name) == getpid() || atoi(entry->d_name) == (int)syscall(SYS_gettid);
    CHECK(faccessat(dirfd(stream), entry->d_name, F_OK, 0) == 0);
  }
  closedir(stream);
  CHECK(entries == 2 && found == 2);
  return NULL;
}

static int listed(long call, size_t name_offset, size_t capacity, pid_t wanted) {
  char buffer[4096];
  int fd = open("/proc", O_RDONLY | O_DIRECTORY), found = 0;
  CHECK(fd >= 0);
  for (long bytes; (bytes = syscall(call, fd, buffer, capacity)) != 0;) {
    CHECK(bytes > 0 && bytes <= (long)capacity);
    for (long at = 0; at < bytes;) {
      unsigned short length;
      memcpy(&length, buffer + at + 16, 2);
      const char* name = buffer + at + name_offset;
      int type = call == SYS_getdents64 ? buffer[at + 18] : buffer[at + length - 1];
      if (atoi(name) == wanted) found += type == DT_DIR;
      at += length;
    }
  }
  close(fd);
  return found;
}

static void exe_links(void) {
  char own[512] = "", other[512] = "";
  struct stat by_link, by_name;
  CHECK(readlink("/proc/self/exe", own, sizeof own - 1) > 0);
  CHECK(readlink(named("/proc/%d/exe", child), other, sizeof other - 1) > 0 && strcmp(own, other) == 0);
  CHECK(lstat("/proc/self/exe", &by_link) == 0 && S_ISLNK(by_link.st_mode));
  CHECK(open("/proc/self/exe", O_RDONLY | O_NOFOLLOW) == -1 && errno == ELOOP);
  // Calls that follow the link are translated where other ids are.
  if (guest_shift() == 0) return;
  CHECK(stat("/proc/self/exe", &by_link) == 0 && stat(own, &by_name) == 0 && by_link.st_ino == by_name.st_ino);
  CHECK(stat(named("/proc/%d/exe", child), &by_link) == 0 && by_link.st_ino == by_name.st_ino);
  int fd = open("/proc/self/exe", O_RDONLY);
  CHECK(fd >= 0 && fstat(fd, &by_link) == 0 && by_link.st_ino == by_name.st_ino && close(fd) == 0);
}

static int exit_code(const char* path) {
  pid_t program = fork();
  if (program == 0) {
    execl(path, "sh", "-c", "exit 7", NULL);
    _exit(errno == ENOENT ? 2 : 1);
  }
  int status;
  CHECK(waitpid(program, &status, 0) == program && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void programs(pid_t ended) {
  char directory[512];
  CHECK(getcwd(directory, sizeof directory));
  CHECK(exit_code(named("/proc/%d/root/bin/sh", child)) == 7);
  CHECK(exit_code(named("/proc/%d/cwd/bin/sh", child)) == 7);
  CHECK(exit_code(named("/proc/%d/root/bin/sh", ended)) == 2);
  CHECK(chdir(named("/proc/%d", child)) == 0 && exit_code("cwd/bin/sh") == 7);
  CHECK(exit_code(named("../%d/cwd/bin/sh", child)) == 7 && chdir(directory) == 0);
}

static void bad_paths(void) {
  char* page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(mprotect(page + 4096, 4096, PROT_NONE) == 0);
  char* name = page + 4096 - strlen("/proc/self/comm") - 1;
  strcpy(name, "/proc/self/comm");
  int fd = open(name, O_RDONLY);
  CHECK(fd >= 0 && close(fd) == 0);
  page[4095] = 'x';
  CHECK(open(name, O_RDONLY) == -1 && errno == EFAULT);
  CHECK(access(page + 4096, F_OK) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_openat, AT_FDCWD, 8, O_RDONLY) == -1 && errno == EFAULT);
  CHECK(open("", O_RDONLY) == -1 && errno == ENOENT);
  CHECK(openat(-1, "proc", O_RDONLY) == -1 && errno == EBADF);
  CHECK(openat(-1, "1234/comm", O_RDONLY) == -1 && errno == EBADF);
  char* deep = malloc(6000);
  strcpy(deep, named("/proc/%d", child));
  while (strlen(deep) < 3000) strcat(deep, "/.");
  strcat(deep, "/comm");
  CHECK(is_child(AT_FDCWD, deep));
  memset(deep + 6, '/', 5000), deep[5000] = 0;
  CHECK(open(deep, O_RDONLY) == -1 && errno == ENAMETOOLONG);
  free(deep);
  munmap(page, 8192);
}

static volatile sig_atomic_t alarms;
static int feeder;
static void on_alarm(int signal) {
  (void)signal;
  if (++alarms == 3) CHECK(open(getenv("GUEST_FIFO"), O_RDWR) >= 0);
}

// An open that waits is interrupted and started again.
static void waiting_open(void) {
  char buffer[512];
  const char* path = guest_path(&buffer, "fifo");
  CHECK(mkfifo(path, 0600) == 0 && setenv("GUEST_FIFO", path, 1) == 0);
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, NULL);
  alarm(1);
  CHECK(open(path, O_RDONLY) == -1 && errno == EINTR && alarms == 1);
  alarm(1);
  feeder = open(path, O_PATH);
  CHECK(open(named("/proc/%d/root", getpid()), O_PATH) >= 0);
  char link[64];
  snprintf(link, sizeof link, "/proc/%d/fd/%d", getpid(), feeder);
  CHECK(open(link, O_RDONLY) == -1 && errno == EINTR && alarms == 2);
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, NULL);
  alarm(1);
  int fd = open(link, O_WRONLY);
  CHECK(fd >= 0 && alarms == 3 && write(fd, "x", 1) == 1);
  unlink(path);
}

int main(void) {
  pid_t self = getpid(), ended = guest_ended_pid();
  char link[32] = "";
  CHECK(readlink("/proc/self", link, sizeof link) > 0 && atoi(link) == self);
  CHECK(readlink("/proc/self", link, 2) == 2);
  start_child();
  paths();
  calls(ended);
  pthread_t other;
  CHECK(pthread_create(&other, NULL, thread, NULL) == 0 && pthread_join(other, NULL) == 0);
  const size_t capacities[] = {80, 300, 4096};
  for (int i = 0; i < 3; i++) {
    CHECK(listed(SYS_getdents64, 19, capacities[i], self) == 1 &&
          listed(SYS_getdents64, 19, capacities[i], child) == 1);
    CHECK(listed(SYS_getdents, 18, capacities[i], child) == 1 && listed(SYS_getdents64, 19, capacities[i], ended) == 0);
  }
  exe_links();
  programs(ended);
  bad_paths();
  waiting_open();
  guest_end_child(child);
  CHECK(!is_child(AT_FDCWD, named("/proc/%d/comm", child)) && errno == ENOENT);
  return guest_pass();
}
