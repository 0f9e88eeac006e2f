// Births by raw calls: what the caller, the child and the id words say is the same number, and the child starts with its creator's
// registers, mask and floating point control. fork, vfork, clone with and without shared memory, small stacks, pidfds, errors, under a
// timer's signals as well.
// build: static musl
#include <sched.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "guest.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

struct seen {
  uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rdi, rsi, rdx, r8;
  uint64_t xmm5[2];
  uint32_t mxcsr, control;
  // From here on by child_body().
  int parent_word, child_word, tid, pid, parent;
  uint64_t mask;
  uint64_t alternate_flags;
  uint64_t red_zone;  // by the creator
};
_Static_assert(__builtin_offsetof(struct seen, red_zone) == 152, "as in the assembly");
static struct seen seen;
static volatile int parent_word, child_word, done;

// long checked_clone(flags, stack, parent_tid, child_tid, struct seen*): the child notes its registers and calls child_body().
long checked_clone(unsigned long flags, void* stack, volatile int* parent_tid, volatile int* child_tid,
                   struct seen* seen);
__asm__(
    ".text\nchecked_clone:\n"
    "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rcx, %r10\n  mov %r8, %r9\n"
    "  movabs $0x1111111111111111, %rbx\n  movabs $0x2222222222222222, %rbp\n  movabs $0x3333333333333333, %r12\n"
    "  movabs $0x4444444444444444, %r13\n  movabs $0x5555555555555555, %r14\n  movabs $0x6666666666666666, %r15\n"
    "  movabs $0x7777777777777777, %r8\n  movq %r8, %xmm5\n  punpcklqdq %xmm5, %xmm5\n"
    "  mov %r8, -8(%rsp)\n  mov %r8, -128(%rsp)\n"
    "  mov $56, %eax\n  syscall\n"
    "  test %rax, %rax\n  jz 1f\n"
    "  mov -8(%rsp), %rcx\n  and -128(%rsp), %rcx\n  mov %rcx, 152(%r9)\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n  ret\n"
    "1:mov %rbx, 0(%r9)\n  mov %rbp, 8(%r9)\n  mov %r12, 16(%r9)\n  mov %r13, 24(%r9)\n  mov %r14, 32(%r9)\n"
    "  mov %r15, 40(%r9)\n  mov %rsp, 48(%r9)\n  mov %rdi, 56(%r9)\n  mov %rsi, 64(%r9)\n  mov %rdx, 72(%r9)\n"
    "  mov %r8, 80(%r9)\n  movdqu %xmm5, 88(%r9)\n  stmxcsr 104(%r9)\n  fnstcw 108(%r9)\n"
    "  mov %r9, %rdi\n  call child_body\n"
    "  mov $60, %eax\n  xor %edi, %edi\n  syscall\n");

static long call3(long number, long a, long b, long c) {  // the child shares its creator's errno
  long result;
  register long r10 __asm__("r10") = 8;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}

__attribute__((used)) void child_body(struct seen* own) __asm__("child_body");
void child_body(struct seen* own) {
  own->parent_word = parent_word;
  own->child_word = child_word;
  own->tid = (int)call3(SYS_gettid, 0, 0, 0);
  own->pid = (int)call3(SYS_getpid, 0, 0, 0);
  own->parent = (int)call3(SYS_getppid, 0, 0, 0);
  call3(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&own->mask);
  stack_t alternate;
  call3(SYS_sigaltstack, 0, (long)&alternate, 0);
  own->alternate_flags = (unsigned)alternate.ss_flags;
  done = 1;
}

static int shift(void) {
  const char* text = getenv("GUEST_SHIFT");
  return text ? atoi(text) : 0;
}

static void check_registers(const struct seen* s, const char* stack, uint32_t mxcsr, uint16_t control) {
  CHECK(s->rbx == 0x1111111111111111 && s->rbp == 0x2222222222222222 && s->r12 == 0x3333333333333333);
  CHECK(s->r13 == 0x4444444444444444 && s->r14 == 0x5555555555555555 && s->r15 == 0x6666666666666666);
  CHECK(s->r8 == 0x7777777777777777 && s->xmm5[0] == s->r8 && s->xmm5[1] == s->r8);
  CHECK(s->rsp == (uintptr_t)stack && s->rsi == s->rsp && s->rdx == (uintptr_t)&parent_word);
  CHECK(s->mxcsr == mxcsr && (uint16_t)s->control == control);
}

// The kernel clears the word when the thread ends. It is the thread that sets it, so not at once.
static void wait_for_end(volatile int* word) {
  while (!done) sched_yield();
  for (int value; (value = *word) != 0;) syscall(SYS_futex, word, 0 /* FUTEX_WAIT */, value, NULL, NULL, 0);
}

static void thread(void) {
  static char stack[16384] __attribute__((aligned(16)));
  sigset_t block, old;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  sigaddset(&block, SIGRTMAX);
  CHECK(sigprocmask(SIG_SETMASK, &block, &old) == 0);
  uint32_t mxcsr = 0xbfc0, usual_mxcsr;  // flush to zero, round to nearest toward minus infinity, denormals are zero
  uint16_t control = 0x0f7f, usual_control;
  __asm__ volatile("stmxcsr %0\n fnstcw %1" : "=m"(usual_mxcsr), "=m"(usual_control));
  parent_word = child_word = done = 0;
  memset(&seen, 0, sizeof seen);
  __asm__ volatile("ldmxcsr %0\n fldcw %1" ::"m"(mxcsr), "m"(control));
  long tid = checked_clone(THREAD_FLAGS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID,
                           stack + sizeof stack, &parent_word, &child_word, &seen);
  int word = parent_word;
  uint32_t own_mxcsr;
  uint16_t own_control;
  __asm__ volatile("stmxcsr %0\n fnstcw %1\n ldmxcsr %2\n fldcw %3"
                   : "=m"(own_mxcsr), "=m"(own_control)
                   : "m"(usual_mxcsr), "m"(usual_control));
  CHECK(tid > shift() && word == tid && own_mxcsr == mxcsr && own_control == control);
  wait_for_end(&child_word);
  CHECK(seen.tid == tid && seen.parent_word == tid && seen.child_word == tid && seen.pid == getpid());
  CHECK(seen.red_zone == 0x7777777777777777 && seen.alternate_flags == SS_DISABLE);
  CHECK(seen.mask == (1ul << (SIGUSR1 - 1) | 1ul << (SIGRTMAX - 1)));
  check_registers(&seen, stack + sizeof stack, mxcsr, control);
  CHECK(parent_word == tid);  // of the caller's, only the child's word is cleared
  CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

static int ended(pid_t child) {
  int status;
  pid_t waited;
  while ((waited = waitpid(child, &status, __WALL)) == -1 && errno == EINTR) continue;
  CHECK(waited == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

// A process that shares memory: with its own stack, beside its creator or while that waits.
static void process(unsigned long flags, size_t stack_bytes) {
  static char room[65536] __attribute__((aligned(16)));
  char* stack = room + stack_bytes;
  parent_word = child_word = done = 0;
  memset(&seen, 0, sizeof seen);
  long pid = checked_clone(flags | CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, stack, &parent_word,
                           &child_word, &seen);
  CHECK(pid > shift() && pid != getpid() && parent_word == pid);
  if (flags & CLONE_VFORK) CHECK(done);
  CHECK(ended((pid_t)pid) == 0 && done);
  CHECK(seen.tid == pid && seen.pid == pid && seen.parent == getpid());
  CHECK(seen.parent_word == pid && seen.child_word == pid && seen.red_zone == 0x7777777777777777);
  CHECK(seen.rsp == (uintptr_t)stack && seen.rbx == 0x1111111111111111);
}

static void with_memory_of_its_own(void) {
  int told[2];
  CHECK(pipe(told) == 0);
  parent_word = child_word = 0;
  long pid = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &parent_word, &child_word, 0);
  if (pid == 0) {
    int words[3] = {parent_word, child_word, (int)syscall(SYS_getpid)};
    _exit(write(told[1], words, sizeof words) == sizeof words ? 0 : 1);
  }
  int words[3];
  CHECK(pid > shift() && parent_word == pid && child_word == 0);
  CHECK(read(told[0], words, sizeof words) == sizeof words && words[1] == pid && words[2] == pid);
  CHECK(ended((pid_t)pid) == 0);
  // Addresses that cannot be written are nobody's error.
  pid = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, 8, 16, 0);
  if (pid == 0) _exit(5);
  CHECK(pid > 0 && ended((pid_t)pid) == 5);
  pid = syscall(SYS_fork);
  if (pid == 0) _exit((int)syscall(SYS_getpid) == (int)syscall(SYS_gettid) ? 6 : 1);
  CHECK(pid > shift() && ended((pid_t)pid) == 6);
  close(told[0]);
  close(told[1]);
}

static void borrowing(void) {
  volatile int child_pid = 0, grandchild_pid = 0, grandchild = 0;
  volatile uint64_t kept = 0x1234567890abcdef;
  pid_t pid = vfork();
  if (pid == 0) {
    child_pid = (int)syscall(SYS_getpid);
    pid_t inner = vfork();
    if (inner == 0) {
      grandchild_pid = (int)syscall(SYS_getpid);
      _exit(3);
    }
    grandchild = inner;
    int status = 0;
    _exit(waitpid(inner, &status, 0) == inner && WEXITSTATUS(status) == 3 ? 4 : 5);
  }
  CHECK(pid > shift() && child_pid == pid && ended(pid) == 4);
  CHECK(grandchild > shift() && grandchild == grandchild_pid && grandchild != pid && kept == 0x1234567890abcdef);
  pid = vfork();
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", "exit 9", (char*)NULL);
    _exit(1);
  }
  CHECK(ended(pid) == 9);
}

// A vfork child has its creator's alternate stack, and both keep it.
static void with_alternate_stack(unsigned flags) {
  static char room[65536];
  stack_t stack = {.ss_sp = room, .ss_size = sizeof room, .ss_flags = (int)flags}, now;
  CHECK(sigaltstack(&stack, NULL) == 0);
  borrowing();
  process(CLONE_VFORK, 16384);
  CHECK(seen.alternate_flags == flags);
  CHECK(sigaltstack(NULL, &now) == 0 && (unsigned)now.ss_flags == flags && now.ss_sp == room);
  process(0, 16384);
  CHECK(seen.alternate_flags == SS_DISABLE);
  thread();
  CHECK(sigaltstack(NULL, &now) == 0 && (unsigned)now.ss_flags == flags && now.ss_sp == room);
  stack.ss_flags = SS_DISABLE;
  CHECK(sigaltstack(&stack, NULL) == 0);
}

// Both on one stack at the same time: the child may only use registers.
static void with_the_same_stack(void) {
  for (int i = 0; i < 20; i++) {
    parent_word = 0;
    register void* none __asm__("r10") = NULL;
    long pid;
    __asm__ volatile("syscall\n test %%rax, %%rax\n jnz 1f\n mov $60, %%eax\n mov $7, %%edi\n syscall\n1:"
                     : "=a"(pid)
                     : "a"(SYS_clone), "D"(CLONE_VM | CLONE_PARENT_SETTID | SIGCHLD), "S"(0), "d"(&parent_word),
                       "r"(none)
                     : "rcx", "r11", "memory");
    CHECK(pid > shift() && parent_word == pid && ended((pid_t)pid) == 7);
  }
}

static void with_pidfd(void) {
  int fd = -1;
  long pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0);
  if (pid == 0) _exit(7);
  CHECK(pid > shift() && fd >= 0);
  siginfo_t info = {0};
  CHECK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED) == 0 && info.si_pid == pid && info.si_status == 7);
  close(fd);
}

static void errors(void) {
  // More often than anything could be leaked.
  for (int i = 0; i < 600; i++) {
    CHECK(syscall(SYS_clone, CLONE_THREAD | CLONE_VM | SIGCHLD, &seen, 0, 0, 0) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_clone, CLONE_VM | CLONE_PIDFD | CLONE_PARENT_SETTID, &seen, &seen, 0, 0) == -1 &&
          errno == EINVAL);
    CHECK(syscall(SYS_clone, CLONE_VFORK | CLONE_VM | CLONE_FS | CLONE_NEWNS, 0, 0, 0, 0) == -1 && errno == EINVAL);
  }
}

// Children that share memory are killed at any point of their birth, more of them than could be lost.
static void killed_early(void) {
  static char stack[16384] __attribute__((aligned(16)));
  for (int i = 0; i < 1200; i++) {
    long pid = checked_clone(CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, stack + sizeof stack,
                             &parent_word, &child_word, &seen);
    CHECK(pid > shift() && kill((pid_t)pid, SIGKILL) == 0);
    int status;
    CHECK(waitpid((pid_t)pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
  }
}

static volatile int ticks;
static void on_tick(int signal) {
  (void)signal;
  volatile char use[2048];
  memset((char*)use, 0x5a, sizeof use);
  ticks++;
}

static void under_signals(void) {
  struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  struct itimerval timer = {{0, 300}, {0, 300}};
  CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
  for (int i = 0; i < 100 || (ticks < 100 && i < 1000); i++) {
    thread();
    process(CLONE_VFORK, 16384);
    pid_t pid = vfork();
    if (pid == 0) _exit(2);
    CHECK(ended(pid) == 2);
  }
  memset(&timer, 0, sizeof timer);
  CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0 && ticks > 0);
}

int main(void) {
  thread();
  process(0, 65536);
  process(CLONE_VFORK, 65536);
  process(CLONE_VFORK, 6144);
  process(CLONE_FS | CLONE_FILES | CLONE_SIGHAND, 65536);
  with_memory_of_its_own();
  borrowing();
  with_alternate_stack(0);
  with_alternate_stack(SS_AUTODISARM);
  with_the_same_stack();
  with_pidfd();
  errors();
  killed_early();
  under_signals();
  return guest_pass();
}
