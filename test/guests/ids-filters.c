// Seccomp filters of the program's own: what they let pass works, with the right ids, though they know nothing of the calls that an
// interposer makes; what they do not let pass gets their answer, whether it is refused, trapped, traced, logged or the end.
// build: static
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "ids.h"

enum { kPassed = 7, kByPrctl = 0, kBySeccomp, kForThreads };

static volatile int trapped;

static void on_trap(int signal, siginfo_t* info, void* context) {
  CHECK(signal == SIGSYS && info->si_code == 1 && info->si_syscall == SYS_getsid && info->si_errno == 9);
  (void)context;
  trapped++;
}

static volatile pid_t sender;

static void on_signal(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  sender = info->si_pid;
}

static void install(struct sock_filter* code, int length, int way) {
  struct sock_fprog program = {(unsigned short)length, code};
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  if (way == kByPrctl) CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
  if (way == kBySeccomp) CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
  if (way == kForThreads)
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0);
}

// `listed` for the calls named, `other` for the rest.
static void install_list(const int* calls, int count, unsigned listed, unsigned other, int way) {
  struct sock_filter code[80];
  int length = 0;
  code[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < count; i++) {
    code[length++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], (unsigned char)(count - i), 0);
  }
  code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, other);
  code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
  CHECK(length <= 80);
  install(code, length, way);
}

static const int usual[] = {
    SYS_read,        SYS_write,          SYS_exit,         SYS_exit_group,      SYS_getpid,
    SYS_gettid,      SYS_getppid,        SYS_kill,         SYS_rt_sigreturn,    SYS_mmap,
    SYS_munmap,      SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_futex,           SYS_mprotect,
    SYS_brk,         SYS_wait4,          SYS_clone,        SYS_clone3,          SYS_set_robust_list,
    SYS_rseq,        SYS_madvise,        SYS_close,        SYS_openat,          SYS_clock_gettime,
    SYS_sched_yield, SYS_nanosleep,      SYS_tgkill,       SYS_clock_nanosleep, SYS_getrandom,
    SYS_prlimit64};
// No more than a program needs that was made for it.
static const int few[] = {SYS_read, SYS_write, SYS_exit_group, SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_getppid};
// What sandboxes keep from programs that may do all else.
static const int forbidden[] = {SYS_process_vm_readv, SYS_process_vm_writev, SYS_ptrace, SYS_kcmp, SYS_getsid};

#define LIST(calls) calls, (int)(sizeof(calls) / sizeof *(calls))

static void set_handler(int signal, void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  CHECK(sigaction(signal, &action, NULL) == 0);
}

static void* thread(void* unused) { return unused; }

static void use_usual(pid_t parent) {
  const pid_t self = getpid();
  sigset_t full, old, now;
  CHECK_ID(self);
  CHECK(getppid() == parent);
  set_handler(SIGUSR1, on_signal);
  CHECK(kill(self, SIGUSR1) == 0 && sender == self);
  sigfillset(&full);
  CHECK(sigprocmask(SIG_BLOCK, &full, &old) == 0 && kill(self, SIGUSR1) == 0);
  CHECK(sigprocmask(SIG_SETMASK, &old, &now) == 0 && sigismember(&now, SIGUSR1) == 1);
  for (int i = 0; i < 3; i++) {
    int status;
    pid_t child = fork();
    if (child == 0) _exit(getppid() == self ? 3 : 4);
    CHECK_ID(child);
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3);
  }
  pthread_t other;
  CHECK(pthread_create(&other, NULL, thread, NULL) == 0 && pthread_join(other, NULL) == 0);
  int fd = open("/dev/null", O_RDONLY);
  CHECK(fd >= 0 && close(fd) == 0);
}

static int ended(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

// The answers of an allow-list to a call that is not on it.
static void allowing(unsigned other, int way) {
  const pid_t parent = getpid();
  pid_t child = fork();
  if (child == 0) {
    set_handler(SIGSYS, on_trap);
    CHECK(getsid(0) >= 0);  // 0: the session's leader is outside the pid namespace
    install_list(LIST(usual), SECCOMP_RET_ALLOW, other, way);
    use_usual(parent);
    errno = 0;
    const long result = syscall(SYS_getsid, 0);
    const unsigned action = other & SECCOMP_RET_ACTION_FULL;
    if (action == SECCOMP_RET_ERRNO) CHECK(result == -1 && errno == EXDEV);
    if (action == SECCOMP_RET_TRACE) CHECK(result == -1 && errno == ENOSYS);
    if (action == SECCOMP_RET_LOG) CHECK(result >= 0);
    CHECK(trapped == (action == SECCOMP_RET_TRAP));
    use_usual(parent);
    _exit(kPassed);
  }
  const int status = ended(child);
  if (other == SECCOMP_RET_KILL_PROCESS) {
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
  } else {
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == kPassed);
  }
}

static void scarcely(unsigned other) {
  const pid_t parent = getpid();
  pid_t child = fork();
  if (child == 0) {
    sigset_t set, old;
    sigfillset(&set);
    install_list(LIST(few), SECCOMP_RET_ALLOW, other, kByPrctl);
    CHECK(getppid() == parent);
    CHECK(sigprocmask(SIG_SETMASK, &set, &old) == 0 && sigprocmask(SIG_SETMASK, &old, &set) == 0);
    CHECK(sigismember(&set, SIGTERM) == 1 && getppid() == parent);
    _exit(kPassed);
  }
  CHECK(WEXITSTATUS(ended(child)) == kPassed);
}

// With a program that is executed under it.
static void forbidding(unsigned answer, int way) {
  pid_t child = fork();
  if (child == 0) {
    const pid_t self = getpid();
    char own[16];
    install_list(LIST(forbidden), answer, SECCOMP_RET_ALLOW, way);
    CHECK(getpid() == self);
    snprintf(own, sizeof own, "%d", self);
    char* words[] = {"ids-filters", own, NULL};
    execv("/proc/self/exe", words);
    _exit(1);
  }
  CHECK(WEXITSTATUS(ended(child)) == kPassed);
}

static int executed(const char* own) {
  CHECK(getpid() == atoi(own));
  use_usual(getppid());
  return kPassed;
}

// One on top of the other, and what cannot be installed.
static void several(void) {
  pid_t child = fork();
  if (child == 0) {
    const int first[] = {SYS_getpriority}, second[] = {SYS_getsid};
    install_list(first, 1, SECCOMP_RET_ERRNO | EXDEV, SECCOMP_RET_ALLOW, kByPrctl);
    install_list(second, 1, SECCOMP_RET_ERRNO | EXFULL, SECCOMP_RET_ALLOW, kBySeccomp);
    CHECK(getpriority(PRIO_PROCESS, getpid()) == -1 && errno == EXDEV);
    CHECK(getsid(getpid()) == -1 && errno == EXFULL);
    struct sock_filter nonsense[] = {BPF_STMT(0xffff, 0)};
    struct sock_fprog bad = {1, nonsense}, none = {0, nonsense}, far = {1, (struct sock_filter*)8};
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &bad) == -1 && errno == EINVAL);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &none) == -1 && errno == EINVAL);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &far) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 8L) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1L << 20, &bad) == -1 && errno == EINVAL);
    use_usual(getppid());
    _exit(kPassed);
  }
  CHECK(WEXITSTATUS(ended(child)) == kPassed);
}

int main(int count, char** words) {
  if (count == 2) return executed(words[1]);
  const unsigned answers[] = {SECCOMP_RET_ERRNO | EXDEV, SECCOMP_RET_TRAP | 9, SECCOMP_RET_TRACE, SECCOMP_RET_LOG,
                              SECCOMP_RET_KILL_PROCESS};
  for (int i = 0; i < 5; i++) {
    for (int way = kByPrctl; way <= kForThreads; way++) allowing(answers[i], way);
    if (i != 3) scarcely(answers[i]);
  }
  for (int way = kByPrctl; way <= kBySeccomp; way++) {
    forbidding(SECCOMP_RET_KILL_PROCESS, way);
    forbidding(SECCOMP_RET_ERRNO | EPERM, way);
  }
  several();
  return guest_pass();
}
