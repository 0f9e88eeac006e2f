// What odd and hostile programs do with signals, masks, stacks and code: the ids stay right, and nothing ends the program.
// build: static
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <ucontext.h>

#include "ids.h"

static pid_t self, parent;
static volatile sig_atomic_t handled, sender;
static sigset_t every, allowed;
static sigjmp_buf home;

// Calls of each kind, with the ids known beforehand.
static void check_ids(void) {
  siginfo_t info;
  CHECK(getpid() == self && getppid() == parent && syscall(SYS_gettid) == self);
  CHECK(kill(self, 0) == 0 && getsid(0) == getsid(self));
  pid_t child = fork();
  if (child == 0) _exit(getppid() == self ? 3 : 4);
  CHECK_ID(child);
  while (waitid(P_PID, (id_t)child, &info, WEXITED) < 0) CHECK(errno == EINTR);
  CHECK(info.si_pid == child && info.si_status == 3);
}

static void on_signal(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  sender = info->si_pid;
  handled++;
  check_ids();
}

static void on_jump(int signal) {
  handled++;
  siglongjmp(home, signal);
}

static void on_edit(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  memset(&((ucontext_t*)context)->uc_sigmask, 0xff, 8);
  handled++;
}

static void set_handler(int signal, void (*handler)(int, siginfo_t*, void*), int flags, const sigset_t* mask) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
  if (mask) action.sa_mask = *mask;
  CHECK(sigaction(signal, &action, NULL) == 0);
}

static void masks(void) {
  sigset_t old, now;
  CHECK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &every, &old, 8L) == 0);
  check_ids();
  CHECK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, &now, 8L) == 0 && sigismember(&now, SIGTERM) == 1);
  set_handler(SIGUSR1, on_signal, 0, &every);
  CHECK(kill(self, SIGUSR1) == 0 && sender == self);
  set_handler(SIGUSR1, on_edit, 0, NULL);
  CHECK(kill(self, SIGUSR1) == 0);
  check_ids();
  CHECK(sigprocmask(SIG_SETMASK, &old, &now) == 0 && sigismember(&now, SIGUSR2) == 1);
  set_handler(SIGUSR1, on_signal, 0, &every);
  sigset_t but_one = every, one;
  sigdelset(&but_one, SIGUSR1);
  sigemptyset(&one);
  sigaddset(&one, SIGUSR1);
  CHECK(sigprocmask(SIG_BLOCK, &one, NULL) == 0);
  sender = 0;
  CHECK(kill(self, SIGUSR1) == 0 && sigsuspend(&but_one) == -1 && sender == self);
  sender = 0;
  CHECK(kill(self, SIGUSR1) == 0 && ppoll(NULL, 0, NULL, &but_one) == -1 && errno == EINTR && sender == self);
  CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
  signal(SIGUSR1, SIG_DFL);
}

static void on_masked(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  sigset_t* mask = &((ucontext_t*)context)->uc_sigmask;
  for (int i = 1; i < 32; i++) CHECK(sigismember(mask, i) == sigismember(&allowed, i));
  handled++;
}

// In the frame of a handler that interrupted a wait lies the program's own mask, and it is in force afterwards.
static void frames(void) {
  sigset_t old, now;
  sigemptyset(&allowed);
  sigaddset(&allowed, SIGHUP);
  CHECK(sigprocmask(SIG_SETMASK, &allowed, &old) == 0);
  set_handler(SIGALRM, on_masked, 0, NULL);
  struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
  sigset_t waited;
  sigemptyset(&waited);
  sigaddset(&waited, SIGHUP);
  handled = 0;
  CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
  pid_t child = guest_waiting_child();
  while (handled < 200) {
    struct timespec moment = {0, 3000000};
    CHECK(waitpid(child, NULL, 0) == -1 && errno == EINTR);
    CHECK(sigtimedwait(&waited, NULL, &moment) == -1 && (errno == EINTR || errno == EAGAIN));
    CHECK(getpid() == self && kill(child, 0) == 0);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0);
    for (int i = 1; i < 32; i++) CHECK(sigismember(&now, i) == sigismember(&allowed, i));
  }
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
  CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
  guest_end_child(child);
}

// Handlers that never return, out of calls that wait.
static void jumps(void) {
  signal(SIGALRM, on_jump);
  struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
  sigset_t waited;
  sigemptyset(&waited);
  sigaddset(&waited, SIGHUP);
  CHECK(sigprocmask(SIG_BLOCK, &waited, NULL) == 0);
  pid_t child = guest_waiting_child();
  handled = 0;
  for (volatile int i = 0; i < 300; i++) {
    if (sigsetjmp(home, 1) == 0) {
      CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
      for (;;) {
        if (i % 3 == 0) waitpid(child, NULL, 0);
        if (i % 3 == 1) sigwaitinfo(&waited, NULL);
        if (i % 3 == 2) kill(child, 0);
      }
    }
    CHECK(getpid() == self);
  }
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0 && handled >= 300);
  guest_end_child(child);
  check_ids();
}

static void on_blocked(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  sigset_t now;
  CHECK(sigismember(&((ucontext_t*)context)->uc_sigmask, SIGSYS) == 0);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGSYS) == 1);
}

static void on_itself(int signal, siginfo_t* info, void* context) {
  (void)context;
  CHECK(info->si_pid == self);
  int before = handled;
  if (before == 0) CHECK(raise(signal) == 0 && handled == 0);
  handled = before + 1;
}

// Blocked, it waits. (Under plain Stasis it is delivered: nobody needs to know there what the program thinks of it.)
static void blocked_sigsys(void) {
  if (guest_shift() == 0) return;
  sigset_t set, old, now;
  sigemptyset(&set);
  sigaddset(&set, SIGSYS);
  set_handler(SIGSYS, on_signal, 0, NULL);
  CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0 && sigismember(&old, SIGSYS) == 0);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGSYS) == 1);
  handled = sender = 0;
  CHECK(raise(SIGSYS) == 0 && handled == 0);
  check_ids();
  pid_t child = fork();
  if (child == 0) _exit(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGSYS) == 1 ? 0 : 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(sigprocmask(SIG_UNBLOCK, &set, &old) == 0 && sigismember(&old, SIGSYS) == 1);
  CHECK(handled == 1 && sender == self);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGSYS) == 0);
  // In a handler that blocks it, and behind that one.
  sigset_t full;
  sigfillset(&full);
  set_handler(SIGUSR1, on_blocked, 0, &full);
  CHECK(raise(SIGUSR1) == 0 && sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGSYS) == 0);
  signal(SIGUSR1, SIG_DFL);
  // Raised in its own handler it comes behind it.
  set_handler(SIGSYS, on_itself, 0, NULL);
  handled = 0;
  CHECK(raise(SIGSYS) == 0 && handled == 2);
}

// An ignored signal interrupts nothing. (Under plain Stasis SIGSYS does: there the wait is a call that does not trap.)
static void ignored_sigsys(void) {
  if (guest_shift() == 0) return;
  pid_t child = fork();
  if (child == 0) {
    guest_sleep_ms(20);
    _exit(kill(self, SIGSYS) == 0 ? 0 : 1);
  }
  sigset_t none;
  sigemptyset(&none);
  sigaddset(&none, SIGHUP);
  struct timespec moment = {0, 200000000};
  CHECK(sigtimedwait(&none, NULL, &moment) == -1 && errno == EAGAIN);
  CHECK(waitpid(child, NULL, 0) == child);
}

static void own_sigsys(void) {
  set_handler(SIGSYS, on_signal, 0, NULL);
  handled = 0;
  CHECK(raise(SIGSYS) == 0 && handled == 1 && sender == self);
  CHECK(kill(self, SIGSYS) == 0 && handled == 2 && sender == self);
  // What looks like a trapped call, of the program's own making.
  siginfo_t forged = {0};
  forged.si_code = 1;
  forged.si_errno = 0x57a5;
  forged.si_call_addr = (void*)on_signal;
  forged.si_syscall = SYS_getpid;
  long result = syscall(SYS_rt_tgsigqueueinfo, self, self, SIGSYS, &forged);
  CHECK(result == 0 || result == self);
  check_ids();
  if (sigsetjmp(home, 1) == 0) {
    signal(SIGSYS, on_jump);
    raise(SIGSYS);
    CHECK(!"came back");
  }
  check_ids();
  signal(SIGSYS, SIG_IGN);
  raise(SIGSYS);
  check_ids();
  ignored_sigsys();
  blocked_sigsys();
  signal(SIGSYS, SIG_DFL);
}

static char alternate[65536];

static void on_usual_stack(int signal, siginfo_t* info, void* context) {
  char here;
  (void)signal, (void)context;
  CHECK(&here < alternate || &here >= alternate + sizeof alternate);
  sender = info->si_pid;
}

static void stacks(void) {
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
  CHECK(sigaltstack(&stack, NULL) == 0);
  check_ids();
  set_handler(SIGUSR1, on_signal, SA_ONSTACK, &every);
  CHECK(kill(self, SIGUSR1) == 0 && sender == self);
  set_handler(SIGUSR1, on_signal, 0, &every);
  CHECK(kill(self, SIGUSR1) == 0 && sender == self);
  set_handler(SIGSYS, on_usual_stack, 0, NULL);
  sender = 0;
  CHECK(raise(SIGSYS) == 0 && sender == self);
  signal(SIGSYS, SIG_DFL);
  stack.ss_flags = (int)(1u << 31);  // SS_AUTODISARM
  CHECK(sigaltstack(&stack, NULL) == 0);
  check_ids();
  CHECK(kill(self, SIGUSR1) == 0 && sigaltstack(NULL, &old) == 0 && old.ss_flags == stack.ss_flags);
  stack.ss_flags = SS_DISABLE;
  CHECK(sigaltstack(&stack, NULL) == 0);
  check_ids();
  signal(SIGUSR1, SIG_DFL);
}

static char small[16384];

// musl has no makecontext, so the stack pointer is moved by hand.
__attribute__((noinline)) static long call_on_small_stack(long number, long a, long b) {
  long result;
  char* top = small + sizeof small;
  __asm__ volatile("mov %%rsp, %%r12\n mov %[top], %%rsp\n syscall\n mov %%r12, %%rsp"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), [top] "r"(top)
                   : "r12", "rcx", "r11", "memory");
  return result;
}

static void small_stacks(void) {
  memset(small, 0x5a, sizeof small);
  CHECK(call_on_small_stack(SYS_getpid, 0, 0) == self);
  CHECK(call_on_small_stack(SYS_kill, self, 0) == 0);
  CHECK(call_on_small_stack(SYS_getpgid, self, 0) == getpgrp());
  CHECK(call_on_small_stack(SYS_pidfd_open, -1, 0) == -EINVAL);
  CHECK(call_on_small_stack(SYS_wait4, -1, 0) == -ECHILD);
  // A quarter of it is enough for the call: the rest was never touched.
  size_t unused = 0;
  while (small[unused] == 0x5a) unused++;
  CHECK(unused > sizeof small / 4);
}

// Code that was not there when the program started.
static void made_code(void) {
  // eax = edi, rdi = rsi, rsi = rdx, edx = r10d = 0, syscall
  unsigned char code[] = {0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6,
                          0x31, 0xd2, 0x45, 0x31, 0xd2, 0x0f, 0x05, 0xc3};
  unsigned char* page = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED);
  unsigned char* places[] = {page, page + 100, page + 4096 - 14};  // the last call ends on the next page
  for (int i = 0; i < 3; i++) {
    memcpy(places[i], code, sizeof code);
    long (*call)(long, long, long) = (long (*)(long, long, long))(void*)places[i];
    CHECK(call(SYS_getpid, 0, 0) == self && call(SYS_gettid, 0, 0) == self && call(SYS_getppid, 0, 0) == parent);
    CHECK(call(SYS_kill, self, 0) == 0 && call(SYS_wait4, -1, 0) == -ECHILD);
    pid_t child = (pid_t)call(SYS_fork, 0, 0);
    if (child == 0) _exit(call(SYS_getppid, 0, 0) == self ? 0 : 1);
    int status;
    CHECK_ID(child);
    CHECK(call(SYS_wait4, child, (long)&status) == child && status == 0);
  }
  munmap(page, 8192);
}

static void bad_pointers(void) {
  void* bad = (void*)8;
  CHECK(syscall(SYS_sched_getaffinity, self, 128L, bad) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_sched_getparam, self, bad) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_prlimit64, self, RLIMIT_NOFILE, NULL, bad) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_process_vm_readv, self, bad, 1L, bad, 1L, 0L) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_get_robust_list, self, bad, bad) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_rt_sigtimedwait, bad, bad, bad, 8L) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_rt_tgsigqueueinfo, self, self, SIGUSR1, bad) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_signalfd4, -1L, bad, 8L, 0L) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_waitid, P_ALL, 0L, bad, WEXITED, bad) == -1 && (errno == ECHILD || errno == EFAULT));
}

// A filter of the program's own answers before any translation.
static void own_filter(void) {
  pid_t child = fork();
  if (child == 0) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    CHECK(syscall(SYS_getpgid, self) == -1 && errno == EXDEV);
    CHECK(getppid() == self);
    _exit(7);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
}

// More handlers than anybody has: each is a piece of code of its own.
static void many_handlers(void) {
  enum { kCount = 5000, kBytes = 16 };
  unsigned char* code =
      mmap(NULL, kCount * kBytes, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(code != MAP_FAILED);
  for (int i = 0; i < kCount; i++) {
    unsigned char* at = code + i * kBytes;
    void (*handler)(int, siginfo_t*, void*) = on_signal;
    at[0] = 0x48, at[1] = 0xb8;  // mov $on_signal, %rax
    memcpy(at + 2, &handler, 8);
    at[10] = 0xff, at[11] = 0xe0;  // jmp *%rax
    struct sigaction action = {.sa_flags = SA_SIGINFO}, old;
    action.sa_sigaction = (void (*)(int, siginfo_t*, void*))(void*)at;
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0 && sigaction(SIGUSR2, NULL, &old) == 0);
    CHECK(old.sa_sigaction == action.sa_sigaction);
    if (i % 500 != 499) continue;
    sender = 0;
    CHECK(kill(self, SIGUSR2) == 0 && sender == self);
  }
  signal(SIGUSR2, SIG_DFL);
  munmap(code, kCount * kBytes);
}

int main(void) {
  self = getpid();
  parent = getppid();
  memset(&every, 0xff, sizeof every);
  CHECK_ID(self);
  masks();
  frames();
  jumps();
  own_sigsys();
  stacks();
  small_stacks();
  made_code();
  bad_pointers();
  own_filter();
  many_handlers();
  check_ids();
  return guest_pass();
}
