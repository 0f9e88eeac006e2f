// Handlers that do not simply return, over calls that wait: left by longjmp out of each kind of wait, their frame sent elsewhere, its mask
// edited, the alternate stack changed in them or small. The ids stay right, and no call is lost or made twice.
// build: static
#include <poll.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <ucontext.h>

#include "ids.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

enum wait { kChild, kChildInfo, kSignal, kSuspend, kPoll, kOpen, kMessage, kSemaphore, kReceive, kSignalfd, kWaits };

static pid_t self, parent, child;
static char fifo[512];
static int queue, semaphores, sockets[2], signals;
static sigset_t silent, none;
static sigjmp_buf home;
static volatile int handled;

static void wait_for_ever(enum wait kind) {
  siginfo_t info;
  struct {
    long type;
    char text[8];
  } message;
  struct sembuf down = {0, -1, 0};
  char bytes[256];
  struct iovec part = {bytes, sizeof bytes};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  switch (kind) {
    case kChild:
      waitpid(child, NULL, 0);
      break;
    case kChildInfo:
      waitid(P_PID, (id_t)child, &info, WEXITED);
      break;
    case kSignal:
      sigwaitinfo(&silent, &info);
      break;
    case kSuspend:
      sigsuspend(&none);
      break;
    case kPoll:
      ppoll(NULL, 0, NULL, &none);
      break;
    case kOpen:
      open(fifo, O_RDONLY);
      break;
    case kMessage:
      msgrcv(queue, &message, sizeof message.text, 1, 0);
      break;
    case kSemaphore:
      semop(semaphores, &down, 1);
      break;
    case kReceive:
      recvmsg(sockets[0], &header, 0);
      break;
    default:
      CHECK(read(signals, bytes, sizeof bytes) < 0);
  }
}

static void check_ids(void) {
  CHECK(getpid() == self && getppid() == parent && (pid_t)syscall(SYS_gettid) == self);
  CHECK(kill(child, 0) == 0 && getpgid(child) == getpgrp());
}

static void often(int on) {
  struct itimerval timer = {{0, on ? 2000 : 0}, {0, on ? 2000 : 0}};
  CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void on_jump(int signal, siginfo_t* info, void* context) {
  (void)info, (void)context;
  handled++;
  siglongjmp(home, signal);
}

static void on_mask(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  memset(&((ucontext_t*)context)->uc_sigmask, 0xff, 8);
  handled++;
}

__attribute__((noreturn)) static void elsewhere(void) { siglongjmp(home, 1); }

// As schedulers of threads in user space do: the handler returns to other code.
static void on_redirect(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  registers[REG_RIP] = (greg_t)(void*)elsewhere;
  registers[REG_RSP] = (registers[REG_RSP] - 512) / 16 * 16 - 8;
  handled++;
}

static void set_handler(int signal, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
  CHECK(sigaction(signal, &action, NULL) == 0);
}

static void leave_by(void (*handler)(int, siginfo_t*, void*), int flags) {
  set_handler(SIGALRM, handler, flags);
  handled = 0;
  for (volatile int i = 0; i < 10 * kWaits; i++) {
    if (sigsetjmp(home, 1) == 0) {
      often(1);
      for (;;) wait_for_ever(i % kWaits);
    }
    check_ids();
  }
  often(0);
  CHECK(handled >= 10 * kWaits);
}

// A mask that a handler has put into the frame of a wait is in force behind it.
static void masked(void) {
  set_handler(SIGALRM, on_mask, 0);
  for (enum wait kind = 0; kind < kWaits; kind++) {
    sigset_t now, old;
    struct itimerval once = {{0, 0}, {0, 3000}};
    CHECK(sigprocmask(SIG_SETMASK, NULL, &old) == 0 && setitimer(ITIMER_REAL, &once, NULL) == 0);
    handled = 0;
    wait_for_ever(kind);
    CHECK(handled == 1);
    check_ids();
    CHECK(sigprocmask(SIG_SETMASK, &old, &now) == 0 && sigismember(&now, SIGTERM) == 1 &&
          sigismember(&now, SIGALRM) == 1);
  }
}

static char first[65536], second[65536];

static int on_stack(const void* place, const char* stack, size_t bytes) {
  return (const char*)place >= stack && (const char*)place < stack + bytes;
}

static void on_change(int signal, siginfo_t* info, void* context) {
  char here;
  (void)signal, (void)info, (void)context;
  CHECK(on_stack(&here, first, sizeof first));
  // The stack is in use, and so cannot be changed, unless it was given up at the handler's start.
  stack_t other = {.ss_sp = second, .ss_size = sizeof second}, now;
  CHECK(sigaltstack(NULL, &now) == 0);
  if (now.ss_flags & SS_ONSTACK) {
    CHECK(sigaltstack(&other, NULL) == -1 && errno == EPERM);
  } else {
    CHECK(now.ss_flags == SS_DISABLE && sigaltstack(&other, NULL) == 0);
  }
  check_ids();
  CHECK(sigaltstack(NULL, &other) == 0);
  handled++;
}

static void changed_stack(int flags) {
  stack_t stack = {.ss_sp = first, .ss_size = sizeof first, .ss_flags = flags}, now;
  set_handler(SIGUSR1, on_change, SA_ONSTACK);
  CHECK(sigaltstack(&stack, NULL) == 0);
  for (int i = 0; i < 5; i++) {
    handled = 0;
    check_ids();
    CHECK(kill(self, SIGUSR1) == 0 && handled == 1);
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == first && now.ss_flags == flags);
  }
  stack.ss_flags = SS_DISABLE;
  CHECK(sigaltstack(&stack, NULL) == 0);
}

static void on_small(int signal) {
  (void)signal;
  handled++;
}

// 8 KiB, as SIGSTKSZ was and as many have it for each thread, or what two frames need here. What lies below is somebody else's.
static void small_stack(void) {
  const size_t two_frames = 2 * getauxval(AT_MINSIGSTKSZ) + 1024, below = 16384;
  const size_t least = two_frames > 8192 ? two_frames : 8192;
  char* memory = malloc(below + least);
  CHECK(memory);
  memset(memory, 0x5a, below);
  stack_t stack = {.ss_sp = memory + below, .ss_size = least};
  CHECK(sigaltstack(&stack, NULL) == 0);
  struct sigaction action = {.sa_handler = on_small, .sa_flags = SA_ONSTACK};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  handled = 0;
  check_ids();
  CHECK(kill(self, SIGUSR1) == 0 && handled == 1);
  char link[64];
  struct stat status;
  CHECK(readlink("/proc/self", link, sizeof link) > 0 && stat("/proc/self/stat", &status) == 0);
  CHECK(guest_ended_pid() != self);
  stack.ss_flags = SS_DISABLE;
  CHECK(sigaltstack(&stack, NULL) == 0);
  for (size_t i = 0; i < below; i++) CHECK(memory[i] == 0x5a);
  free(memory);
}

static void prepare(void) {
  char path[512];
  snprintf(fifo, sizeof fifo, "%s", guest_path(&path, "fifo"));
  unlink(fifo);
  CHECK(mkfifo(fifo, 0600) == 0);
  sigemptyset(&none);
  sigemptyset(&silent);
  sigaddset(&silent, SIGHUP);
  CHECK(sigprocmask(SIG_BLOCK, &silent, NULL) == 0);
  queue = msgget(IPC_PRIVATE, 0600), semaphores = semget(IPC_PRIVATE, 1, 0600);
  CHECK(queue >= 0 && semaphores >= 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) == 0);
  CHECK((signals = signalfd(-1, &silent, 0)) >= 0);
}

int main(void) {
  self = getpid(), parent = getppid();
  prepare();
  child = guest_waiting_child();
  leave_by(on_jump, 0);
  leave_by(on_jump, SA_RESTART);
  leave_by(on_redirect, 0);
  masked();
  changed_stack(0);
  changed_stack((int)(1u << 31));  // SS_AUTODISARM
  small_stack();
  guest_end_child(child);
  CHECK(msgctl(queue, IPC_RMID, NULL) == 0 && semctl(semaphores, 0, IPC_RMID) == 0);
  return guest_pass();
}
