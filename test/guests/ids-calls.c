// Calls that few programs make: each names a child as it names the caller, and knows nobody by the number of a process that has ended.
// build: static musl
#include <sched.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include "ids.h"

#define IOPRIO_PROCESS 1
#define BEST_EFFORT_6 (2 << 13 | 6)

static pid_t child, ended;

static void scheduling(void) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t clamp_min, clamp_max;
  } attributes = {0};
  CHECK(syscall(SYS_sched_getattr, child, &attributes, sizeof attributes, 0) == 0);
  CHECK(syscall(SYS_sched_setattr, child, &attributes, 0) == 0);
  CHECK(syscall(SYS_sched_setattr, ended, &attributes, 0) == -1 && errno == ESRCH);
  CHECK(syscall(SYS_ioprio_set, IOPRIO_PROCESS, child, BEST_EFFORT_6) == 0);
  CHECK(syscall(SYS_ioprio_get, IOPRIO_PROCESS, child) == BEST_EFFORT_6);
  CHECK(syscall(SYS_ioprio_set, IOPRIO_PROCESS, ended, BEST_EFFORT_6) == -1 && errno == ESRCH);
  struct timespec moment = {0, 1000000};
  clockid_t clock;
  CHECK(clock_getcpuclockid(child, &clock) == 0 && clock < 0);
  struct timespec reading;
  CHECK(clock_gettime(clock, &reading) == 0);
  clockid_t gone = (clockid_t)(~(unsigned)ended << 3 | 2);
  CHECK(clock_nanosleep(gone, 0, &moment, NULL) == EINVAL);
}

// What kernels without NUMA or with restricted performance events refuse, they refuse for both.
static void memory_and_events(void) {
  unsigned long nodes = 1;
  long own = syscall(SYS_migrate_pages, 0, 8 * sizeof nodes, &nodes, &nodes);
  int own_error = own < 0 ? errno : 0;
  long of_child = syscall(SYS_migrate_pages, child, 8 * sizeof nodes, &nodes, &nodes);
  CHECK((of_child < 0 ? errno : 0) == own_error);
  CHECK(syscall(SYS_migrate_pages, ended, 8 * sizeof nodes, &nodes, &nodes) == -1);
  CHECK(errno == (own_error ? own_error : ESRCH));

  uint32_t event[16] = {1 /* software */, 64, 0 /* cpu clock */};
  event[10] = 1 << 5 | 1 << 6;  // neither kernel nor hypervisor
  int fd = (int)syscall(SYS_perf_event_open, event, 0, -1, -1, 8L);
  int error = fd < 0 ? errno : 0;
  int other = (int)syscall(SYS_perf_event_open, event, child, -1, -1, 8L);
  CHECK((other < 0 ? errno : 0) == error);
  CHECK(syscall(SYS_perf_event_open, event, ended, -1, -1, 8L) == -1 && errno == (error ? error : ESRCH));
  if (fd >= 0) close(fd);
  if (other >= 0) close(other);
}

// The outcome of a call for a path of the child is that for a path of the caller; for nobody's it is ENOENT.
#define SAME_BY_PATH(call)                                                  \
  do {                                                                      \
    char path[64];                                                          \
    snprintf(path, sizeof path, "/proc/self/status");                       \
    long own_result = (call);                                               \
    int own_errno = errno;                                                  \
    snprintf(path, sizeof path, "/proc/%d/status", child);                  \
    CHECK((call) == own_result && (own_result >= 0 || errno == own_errno)); \
    snprintf(path, sizeof path, "/proc/%d/status", ended);                  \
    CHECK((call) == -1 && errno == ENOENT);                                 \
  } while (0)

static void paths(void) {
  char names[256];
  SAME_BY_PATH(utimensat(AT_FDCWD, path, NULL, 0));
  SAME_BY_PATH(listxattr(path, names, sizeof names));
  SAME_BY_PATH(llistxattr(path, names, sizeof names));
  SAME_BY_PATH(getxattr(path, "user.nothing", names, sizeof names));
  SAME_BY_PATH(lgetxattr(path, "user.nothing", names, sizeof names));
#ifdef SYS_faccessat2
  SAME_BY_PATH(syscall(SYS_faccessat2, AT_FDCWD, path, R_OK, AT_EACCESS));
#endif
}

// Records of a signalfd by preadv2, which reads at the position with -1.
static void records(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  int fd = signalfd(-1, &set, SFD_CLOEXEC);
  pid_t sender = fork();
  if (sender == 0) _exit(kill(getppid(), SIGUSR1) == 0 ? 0 : 1);
  CHECK_ID(sender);
  struct signalfd_siginfo record;
  struct iovec piece = {&record, sizeof record};
  CHECK(syscall(SYS_preadv2, fd, &piece, 1L, -1L, -1L, 0L) == sizeof record);
  CHECK((pid_t)record.ssi_pid == sender);
  int status;
  CHECK(waitpid(sender, &status, 0) == sender && status == 0);
  close(fd);
}

// Numbers at the end of the usual range, of which one may be another's: it is as closed as the others.
static void numbers(void) {
  struct stat status;
  for (int fd = 1000; fd < 1024; fd++) {
    CHECK(syscall(SYS_fstat, fd, &status) == -1 && errno == EBADF);
    CHECK(syscall(SYS_dup, fd) == -1 && errno == EBADF);
  }
}

int main(void) {
  ended = guest_ended_pid();
  child = guest_waiting_child();
  scheduling();
  memory_and_events();
  paths();
  records();
  numbers();
  guest_end_child(child);
  return guest_pass();
}
