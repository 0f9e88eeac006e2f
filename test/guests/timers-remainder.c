// Sleeps and timed waits of threads end when they would have ended: the time before the checkpoint counts, that between it and the
// restore does not.
// mode: checkpoint
// pause: 2
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>

#include "guest.h"

enum {
  kNanosleep,
  kNanosleepRest,
  kClockNanosleep,
  kPoll,
  kPpoll,
  kSelect,
  kEpoll,
  kEpollMasked,
  kFutex,
  kSigtimedwait,
  kSemtimedop,
  kWaits
};
static const char* const names[kWaits] = {
    "nanosleep",  "nanosleep with a rest", "clock_nanosleep", "poll",         "ppoll",     "select",
    "epoll_wait", "epoll_pwait",           "futex",           "sigtimedwait", "semtimedop"};
static const int64_t kMs = 1000000, kTotalMs = 4000, kBeforeMs = 1500;
static volatile int64_t took[kWaits];
static int semaphore;

static void* wait_in(void* argument) {
  int which = (int)(intptr_t)argument, word = 0;
  struct timespec time = {kTotalMs / 1000, (kTotalMs % 1000) * kMs}, rest;
  const struct timespec whole = time;
  struct timeval left = {kTotalMs / 1000, 0};
  struct sembuf take = {0, -1, 0};
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  int epoll = epoll_create1(0);
  struct epoll_event event;
  int64_t started = guest_clock_ns(CLOCK_MONOTONIC);
  switch (which) {
    case kNanosleep:
      CHECK(syscall(SYS_nanosleep, &time, NULL) == 0);
      break;
    case kNanosleepRest:
      CHECK(syscall(SYS_nanosleep, &time, &rest) == 0);
      break;
    case kClockNanosleep:
      CHECK(clock_nanosleep(CLOCK_BOOTTIME, 0, &time, NULL) == 0);
      break;
    case kPoll:
      CHECK(poll(NULL, 0, (int)kTotalMs) == 0);
      break;
    case kPpoll:
      CHECK(ppoll(NULL, 0, &time, &set) == 0);
      break;
    case kSelect:
      CHECK(select(0, NULL, NULL, NULL, &left) == 0);
      break;
    case kEpoll:
      CHECK(epoll_wait(epoll, &event, 1, (int)kTotalMs) == 0);
      break;
    case kEpollMasked:
      CHECK(epoll_pwait(epoll, &event, 1, (int)kTotalMs, &set) == 0);
      break;
    case kFutex:
      CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0) == -1 && errno == ETIMEDOUT);
      break;
    case kSigtimedwait:
      CHECK(sigtimedwait(&set, NULL, &time) == -1 && errno == EAGAIN);
      break;
    case kSemtimedop:
      CHECK(semtimedop(semaphore, &take, 1, &time) == -1 && errno == EAGAIN);
      break;
  }
  took[which] = guest_clock_ns(CLOCK_MONOTONIC) - started;
  if (which != kPpoll) CHECK(memcmp(&time, &whole, sizeof time) == 0);
  close(epoll);
  return NULL;
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  semaphore = semget(IPC_PRIVATE, 1, 0600);
  CHECK(semaphore != -1);
  pthread_t threads[kWaits];
  for (int i = 0; i < kWaits; i++) CHECK(pthread_create(&threads[i], NULL, wait_in, (void*)(intptr_t)i) == 0);
  guest_sleep_ms((int)kBeforeMs);

  guest_checkpoint_here();

  for (int i = 0; i < kWaits; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(semctl(semaphore, 0, IPC_RMID) == 0);
  int wrong = 0;
  for (int i = 0; i < kWaits; i++) {
    int64_t off = took[i] / kMs - kTotalMs;
    if (off < -5 || off > kBeforeMs / 2)
      dprintf(1, "%s took %lld ms more than it should\n", names[i], (long long)off), wrong++;
  }
  CHECK(wrong == 0);
  return guest_pass();
}
