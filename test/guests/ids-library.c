// Functions of the C library that rest on ids: shells, spawned programs with all attributes, abort, cancellation, threads named by handle.
// build: static musl
#include <pthread.h>
#include <sched.h>
#include <spawn.h>

#include "ids.h"

extern char** environ;

static int status_of(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

static void shells(void) {
  int shell, parent;
  char command[64];
  FILE* pipe = popen("echo $$ $PPID", "r");
  CHECK(pipe && fscanf(pipe, "%d %d", &shell, &parent) == 2 && pclose(pipe) == 0);
  CHECK_ID(shell);
  CHECK(parent == getpid() && kill(shell, 0) == -1 && errno == ESRCH);
  snprintf(command, sizeof command, "test $PPID = %d && kill -0 %d", getpid(), getpid());
  CHECK(system(command) == 0);
}

static void spawned(void) {
  posix_spawnattr_t attributes;
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  CHECK(posix_spawnattr_init(&attributes) == 0 && posix_spawnattr_setsigdefault(&attributes, &all) == 0);
  CHECK(posix_spawnattr_setsigmask(&attributes, &none) == 0 && posix_spawnattr_setpgroup(&attributes, 0) == 0);
  CHECK(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP) ==
        0);
  char* words[] = {"sh", "-c", "kill -STOP $$; exit 5", NULL};
  pid_t child;
  int status;
  CHECK(posix_spawn(&child, "/bin/sh", NULL, &attributes, words, environ) == 0);
  CHECK_ID(child);
  CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status) && getpgid(child) == child);
  CHECK(kill(-child, SIGCONT) == 0);
  status = status_of(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
  char* none_such[] = {"none", NULL};
  CHECK(posix_spawn(&child, "/no/such/program", NULL, &attributes, none_such, environ) == ENOENT);
  CHECK(posix_spawnattr_destroy(&attributes) == 0 && waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}

static void aborted(void) {
  pid_t child = fork();
  if (child == 0) abort();
  const int status = status_of(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static volatile pid_t waiting, thread_id;
static int pipe_ends[2];

static void* in_wait(void* unused) {
  thread_id = (pid_t)syscall(SYS_gettid);
  CHECK(waitpid(waiting, NULL, 0) == waiting);
  return unused;
}

static void* in_read(void* unused) {
  char byte;
  thread_id = (pid_t)syscall(SYS_gettid);
  CHECK(read(pipe_ends[0], &byte, 1) == 1);
  return unused;
}

static void* in_signal(void* unused) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  thread_id = (pid_t)syscall(SYS_gettid);
  CHECK(sigwaitinfo(&set, NULL) == SIGUSR2);
  return unused;
}

static void cancelled(void* (*body)(void*)) {
  pthread_t thread;
  void* result;
  cpu_set_t processors;
  struct sched_param priority;
  struct timespec used;
  clockid_t clock;
  int policy;
  thread_id = 0;
  CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
  while (thread_id == 0) sched_yield();
  CHECK_ID(thread_id);
  CHECK(thread_id != getpid() && pthread_kill(thread, 0) == 0);
  CHECK(pthread_getaffinity_np(thread, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) > 0);
  CHECK(pthread_setaffinity_np(thread, sizeof processors, &processors) == 0);
  CHECK(pthread_getschedparam(thread, &policy, &priority) == 0);
  CHECK(pthread_setschedparam(thread, policy, &priority) == 0 && syscall(SYS_sched_getscheduler, thread_id) == policy);
  CHECK(pthread_getcpuclockid(thread, &clock) == 0 && clock_gettime(clock, &used) == 0);
  guest_sleep_ms(5);
  CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
}

int main(void) {
  shells();
  spawned();
  aborted();
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0 && pipe(pipe_ends) == 0);
  waiting = guest_waiting_child();
  for (int i = 0; i < 10; i++) {
    cancelled(in_wait);
    cancelled(in_read);
    cancelled(in_signal);
  }
  guest_end_child(waiting);
  return guest_pass();
}
