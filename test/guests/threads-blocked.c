// Threads blocked in futex, read, poll, epoll_wait, nanosleep, sigwait and timed waits stay blocked over checkpoint and restore, and each
// call then ends as it would have.
// mode: checkpoint
// build: static musl
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>

#include "guest.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static int flag, read_pipe[2], poll_pipe[2], epoll_pipe[2], done[2];

static void finished(const char* letter) { CHECK(write(done[1], letter, 1) == 1); }

static void* in_condition(void* unused) {
  CHECK(pthread_mutex_lock(&mutex) == 0);
  while (!flag) CHECK(pthread_cond_wait(&condition, &mutex) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  finished("c");
  return unused;
}

static void* in_lock(void* unused) {
  CHECK(pthread_mutex_lock(&held) == 0);
  CHECK(pthread_mutex_unlock(&held) == 0);
  finished("l");
  return unused;
}

static void* in_read(void* unused) {
  char byte;
  CHECK(read(read_pipe[0], &byte, 1) == 1 && byte == 'r');
  finished("r");
  return unused;
}

static void* in_poll(void* unused) {
  struct pollfd fd = {.fd = poll_pipe[0], .events = POLLIN};
  CHECK(poll(&fd, 1, -1) == 1 && fd.revents == POLLIN);
  finished("p");
  return unused;
}

static void* in_epoll(void* unused) {
  struct epoll_event event = {.events = EPOLLIN};
  int set = epoll_create1(0);
  CHECK(set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, epoll_pipe[0], &event) == 0);
  int count;
  while ((count = epoll_wait(set, &event, 1, -1)) == -1) CHECK(errno == EINTR);
  CHECK(count == 1);
  finished("e");
  return unused;
}

static void* in_sleep(void* unused) {
  guest_sleep_ms(1500);
  finished("s");
  return unused;
}

static void* in_sigwait(void* unused) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  int signal;
  CHECK(sigwait(&set, &signal) == 0 && signal == SIGUSR2);
  finished("w");
  return unused;
}

static void* in_timed_poll(void* unused) {
  CHECK(poll(NULL, 0, 1500) == 0);
  finished("t");
  return unused;
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  CHECK(pipe(read_pipe) == 0 && pipe(poll_pipe) == 0 && pipe(epoll_pipe) == 0 && pipe(done) == 0);
  CHECK(pthread_mutex_lock(&held) == 0);
  void* (*bodies[])(void*) = {in_condition, in_lock, in_read, in_poll, in_epoll, in_sleep, in_sigwait, in_timed_poll};
  enum { kThreads = sizeof bodies / sizeof *bodies };
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; i++) CHECK(pthread_create(&threads[i], NULL, bodies[i], NULL) == 0);
  guest_sleep_ms(100);

  guest_checkpoint_here();

  CHECK(pthread_mutex_lock(&mutex) == 0);
  flag = 1;
  CHECK(pthread_cond_signal(&condition) == 0 && pthread_mutex_unlock(&mutex) == 0);
  CHECK(pthread_mutex_unlock(&held) == 0);
  CHECK(write(read_pipe[1], "r", 1) == 1 && write(poll_pipe[1], "p", 1) == 1 && write(epoll_pipe[1], "e", 1) == 1);
  CHECK(pthread_kill(threads[6], SIGUSR2) == 0);
  char letters[kThreads + 1] = {0};
  for (int i = 0; i < kThreads; i++) CHECK(read(done[0], &letters[i], 1) == 1);
  for (int i = 0; i < kThreads; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  for (const char* letter = "clrpeswt"; *letter; letter++) CHECK(strchr(letters, *letter));
  return guest_pass();
}
