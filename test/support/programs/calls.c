// What single calls and births cost: prints "NAME NANOSECONDS" for each case, the median of many short batches, so that a batch during which
// another process ran does not count. calls PROGRAM-TO-EXECUTE [MILLISECONDS-PER-CASE]
#define _GNU_SOURCE
#include <linux/futex.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

extern char** environ;
static char* target[2];
static int self, zero, udp, epoll;
static uint32_t word;

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static void reap(pid_t child) {
  int status;
  if (child <= 0 || waitpid(child, &status, 0) != child || status != 0) fail("child");
}

// By libc's functions: call sites like theirs are what can be rewritten, and syscall(2)'s is none.
static void call_getpid(void) { getpid(); }
static void call_gettid(void) { gettid(); }
static void call_kill(void) {
  if (kill(self, 0) != 0) fail("kill");
}
static void call_sigmask(void) {
  sigset_t all, before;
  sigfillset(&all);
  if (pthread_sigmask(SIG_BLOCK, &all, &before) != 0 || pthread_sigmask(SIG_SETMASK, &before, NULL) != 0) fail("sigmask");
}
static void call_sigaction(void) {
  struct sigaction action;
  if (sigaction(SIGUSR1, NULL, &action) != 0) fail("sigaction");
}
static void call_stat(void) {
  struct stat status;
  if (stat("/etc/passwd", &status) != 0) fail("stat");
}
static void call_getsockname(void) {
  struct sockaddr_in name;
  socklen_t length = sizeof name;
  if (getsockname(udp, (struct sockaddr*)&name, &length) != 0) fail("getsockname");
}
static void call_read(void) {
  char byte;
  if (syscall(SYS_read, zero, &byte, 1) != 1) fail("read");
}
static void call_write(void) {
  if (syscall(SYS_write, zero, "", 1) != 1) fail("write");
}
static void call_futex(void) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }
static void call_epoll_wait(void) {
  struct epoll_event event;
  if (syscall(SYS_epoll_wait, epoll, &event, 1, 0) != 0) fail("epoll_wait");
}
static void call_open(void) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("open");
  close(fd);
}
static void call_fork(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  reap(child);
}
static void call_fork_exec(void) {
  pid_t child = fork();
  if (child == 0) {
    execv(target[0], target);
    _exit(127);
  }
  reap(child);
}
static void call_spawn(void) {
  pid_t child;
  if (posix_spawn(&child, target[0], NULL, NULL, target, environ) != 0) fail("posix_spawn");
  reap(child);
}
static void* nothing(void* argument) { return argument; }
static void call_thread(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0) fail("thread");
}

static int compare(const void* a, const void* b) {
  double x = *(const double*)a, y = *(const double*)b;
  return x < y ? -1 : x > y;
}

static void measure(const char* name, void (*call)(void), int batch, int64_t total_ns) {
  static double samples[100000];
  int count = 0;
  for (int i = 0; i < batch; i++) call();
  for (int64_t end = now() + total_ns; count < 100000 && (count < 5 || now() < end); count++) {
    int64_t begin = now();
    for (int i = 0; i < batch; i++) call();
    samples[count] = (double)(now() - begin) / batch;
  }
  qsort(samples, count, sizeof *samples, compare);
  printf("%s %.1f\n", name, samples[count / 2]);
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  target[0] = argv[1];
  int64_t total = (argc > 2 ? atoi(argv[2]) : 50) * INT64_C(1000000);
  self = getpid();
  zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
  udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  struct {
    const char* name;
    void (*call)(void);
    int batch;
  } cases[] = {
      {"getpid", call_getpid, 100},       {"gettid", call_gettid, 100},   {"kill", call_kill, 100},
      {"sigmask*2", call_sigmask, 50}, {"sigaction", call_sigaction, 100}, {"stat", call_stat, 50},
      {"getsockname", call_getsockname, 100}, {"read", call_read, 500},   {"write", call_write, 500},
      {"futex", call_futex, 500},         {"epoll_wait", call_epoll_wait, 500}, {"open+close", call_open, 50},
      {"fork+wait", call_fork, 1},        {"fork+exec+wait", call_fork_exec, 1}, {"posix_spawn+wait", call_spawn, 1},
      {"pthread", call_thread, 4},
  };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) measure(cases[i].name, cases[i].call, cases[i].batch, total);
  return 0;
}
