// Texts in /proc with ids in them: stat, status, sched, children, fdinfo, locks, sysvipc.
// build: static musl
#include <pthread.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include "ids.h"

static char text[1 << 20];

static size_t contents(const char* path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  size_t length = 0;
  for (ssize_t n; (n = read(fd, text + length, sizeof text - 1 - length)) > 0;) length += (size_t)n;
  text[length] = 0;
  close(fd);
  CHECK(length > 0);
  return length;
}

static const char* named(const char* format, long a, long b) {
  static char path[128];
  snprintf(path, sizeof path, format, a, b);
  return path;
}

// The number behind `key` at the start of a line.
static long field(const char* key) {
  char line[32];
  snprintf(line, sizeof line, "\n%s\t", key);
  const char* at = strstr(text, line);
  CHECK(at);
  return atol(at + strlen(line));
}

static void check_stat(const char* path, pid_t pid, pid_t parent, const char* name) {
  contents(path);
  int seen, seen_parent, group, session, terminal, foreground;
  char state;
  char* end = strrchr(text, ')');
  CHECK(end && sscanf(text, "%d (", &seen) == 1 && seen == pid);
  CHECK(strncmp(strchr(text, '(') + 1, name, strlen(name)) == 0 && end == strchr(text, '(') + 1 + strlen(name));
  CHECK(sscanf(end, ") %c %d %d %d %d %d ", &state, &seen_parent, &group, &session, &terminal, &foreground) == 6);
  CHECK(seen_parent == parent && group == getpgrp() && session == getsid(0));
  CHECK(foreground < 1 || foreground > guest_shift());
  CHECK(end[strlen(end) - 1] == '\n');
  if (pid != getpid()) return;
  for (int blanks = 0; blanks < 30; end++) blanks += *end == ' ';  // to field 32
  CHECK(strtoul(end, NULL, 10) == 1ul << (SIGUSR2 - 1));
}

static void check_status(const char* path, pid_t task, pid_t pid, pid_t parent) {
  contents(path);
  CHECK(field("Tgid:") == pid && field("Pid:") == task && field("PPid:") == parent && field("TracerPid:") == 0);
  CHECK(field("NStgid:") == pid && field("NSpid:") == task && field("NSpgid:") == getpgrp());
  CHECK(field("NSsid:") == getsid(0));
}

static void own_texts(void) {
  pid_t self = getpid(), parent = getppid();
  const char* odd = ") R 1 (2 3)";
  CHECK(prctl(PR_SET_NAME, odd) == 0);
  check_stat("/proc/self/stat", self, parent, odd);
  check_stat("/proc/thread-self/stat", self, parent, odd);
  check_stat(named("/proc/%ld/task/%ld/stat", self, self), self, parent, odd);
  check_status("/proc/self/status", self, self, parent);
  check_status(named("/proc/%ld/status", self, 0), self, self, parent);
  int directory = open("/proc/self", O_RDONLY | O_DIRECTORY);
  check_stat(named("/proc/self/fd/%ld/stat", directory, 0), self, parent, odd);
  close(directory);
  if (access("/proc/self/sched", R_OK) == 0) {
    contents("/proc/self/sched");
    char head[64];
    snprintf(head, sizeof head, "%s (%d, #threads: 1)\n", odd, self);
    CHECK(strncmp(text, head, strlen(head)) == 0);
  }
  CHECK(prctl(PR_SET_NAME, "texts") == 0);
}

// The descriptor of a text is as any other.
static void descriptors(void) {
  int next = open("/dev/null", O_RDONLY);
  close(next);
  int fd = open("/proc/self/stat", O_RDONLY), kept = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  CHECK(fd == next && kept == next + 1 && fcntl(fd, F_GETFD) == 0 && fcntl(kept, F_GETFD) == FD_CLOEXEC);
  CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY && write(fd, "x", 1) == -1 && errno == EBADF);
  char whole[1024], pieces[1024];
  ssize_t bytes = pread(fd, whole, sizeof whole, 0), at = 0;
  CHECK(bytes > 0 && bytes < (ssize_t)sizeof whole);
  while (read(fd, pieces + at, 1) == 1) at++;
  CHECK(at == bytes && atoi(pieces) == getpid() && atoi(whole) == getpid());
  CHECK(lseek(fd, 0, SEEK_SET) == 0 && read(fd, pieces, 3) == 3 && memcmp(pieces, whole, 3) == 0);
  close(fd), close(kept);
  CHECK(open("/proc/self/stat", O_RDONLY) == next && close(next) == 0);
  CHECK(open("/proc/self/stat", O_RDONLY | O_DIRECTORY) == -1 && errno == ENOTDIR);
  CHECK(open("/proc/self/stat/", O_RDONLY) == -1 && errno == ENOTDIR);
}

static void children(void) {
  pid_t one = guest_waiting_child(), two = guest_waiting_child();
  check_stat(named("/proc/%ld/stat", one, 0), one, getpid(), "texts");
  check_status(named("/proc/%ld/status", two, 0), two, two, getpid());
  const char* list = named("/proc/self/task/%ld/children", getpid(), 0);
  if (access(list, R_OK) == 0) {
    int first, second, third;
    contents(list);
    CHECK(sscanf(text, "%d %d %d", &first, &second, &third) == 2 && first == one && second == two);
  }
  int process = (int)syscall(SYS_pidfd_open, one, 0);
  CHECK(process >= 0);
  contents(named("/proc/self/fdinfo/%ld", process, 0));
  CHECK(field("Pid:") == one && field("NSpid:") == one);
  guest_end_child(one), guest_end_child(two);
  contents(named("/proc/self/fdinfo/%ld", process, 0));
  CHECK(field("Pid:") == -1);
  close(process);
}

static void locks(void) {
  char buffer[512], inode[32];
  const char* path = guest_path(&buffer, "locked");
  int fd = open(path, O_RDWR | O_CREAT, 0600), owners = 0;
  struct stat status;
  struct flock record = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  CHECK(fd >= 0 && fstat(fd, &status) == 0 && flock(fd, LOCK_EX) == 0 && fcntl(fd, F_SETLK, &record) == 0);
  snprintf(inode, sizeof inode, ":%lu ", (unsigned long)status.st_ino);
  contents("/proc/locks");
  for (char* line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    int owner;
    if (!strstr(line, inode)) continue;
    CHECK(sscanf(line, "%*s %*s %*s %*s %d", &owner) == 1 && owner == getpid());
    owners++;
  }
  CHECK(owners == 2);
  contents(named("/proc/self/fdinfo/%ld", fd, 0));
  char* lock = strstr(text, "lock:");
  int owner;
  CHECK(lock && sscanf(lock, "lock: %*s %*s %*s %*s %d", &owner) == 1 && owner == getpid());
  close(fd);
  unlink(path);
}

static void shared_memory(void) {
  int id = shmget(IPC_PRIVATE, 4096, 0600), found = 0;
  CHECK(id >= 0);
  void* memory = shmat(id, NULL, 0);
  CHECK(memory != (void*)-1);
  contents("/proc/sysvipc/shm");
  for (char* line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    long key, shown;
    int creator, last;
    if (sscanf(line, "%ld %ld %*s %*s %d %d", &key, &shown, &creator, &last) != 4 || shown != id) continue;
    CHECK(creator == getpid() && last == getpid());
    found++;
  }
  CHECK(found == 1);
  CHECK(shmctl(id, IPC_RMID, NULL) == 0 && shmdt(memory) == 0);
}

static void* reader(void* unused) {
  (void)unused;
  for (int i = 0; i < 100; i++) {
    char line[512] = "";
    int fd = open("/proc/thread-self/stat", O_RDONLY);
    CHECK(fd >= 0 && read(fd, line, sizeof line - 1) > 0 && atoi(line) == (int)syscall(SYS_gettid) && close(fd) == 0);
  }
  return NULL;
}

int main(void) {
  sigset_t blocked;
  sigemptyset(&blocked), sigaddset(&blocked, SIGUSR2);
  CHECK(sigprocmask(SIG_SETMASK, &blocked, NULL) == 0);
  own_texts();
  descriptors();
  children();
  locks();
  shared_memory();
  pthread_t threads[16];
  for (int i = 0; i < 16; i++) CHECK(pthread_create(&threads[i], NULL, reader, NULL) == 0);
  for (int i = 0; i < 16; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  return guest_pass();
}
