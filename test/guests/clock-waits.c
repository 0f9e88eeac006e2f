// Timed waits in progress at the checkpoint end at the right instant of the program's own clock: absolute ones exactly, relative ones not
// early and not later than their full length after the restore.
// mode: checkpoint
// pause: 3
// build: static
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "guest.h"

static const int64_t kMs = 1000000;
enum { kWaitMs = 2500, kSlackMs = 700 };

static int64_t start;
static struct timespec until;

static void absolute_sleep(void) {
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
  }
}

static void absolute_condition(void) {
  pthread_condattr_t attributes;
  pthread_cond_t condition;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(pthread_condattr_init(&attributes) == 0 && pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
  CHECK(pthread_cond_init(&condition, &attributes) == 0 && pthread_mutex_lock(&mutex) == 0);
  int result;
  while ((result = pthread_cond_timedwait(&condition, &mutex, &until)) == 0) {
  }
  CHECK(result == ETIMEDOUT);
}

static void relative_sleep(void) { guest_sleep_ms(kWaitMs); }
static void relative_poll(void) { CHECK(poll(NULL, 0, kWaitMs) == 0); }
static void relative_select(void) {
  struct timeval left = {kWaitMs / 1000, kWaitMs % 1000 * 1000};
  CHECK(select(0, NULL, NULL, NULL, &left) == 0);
}

static void relative_epoll(void) {
  struct epoll_event event;
  int64_t end = start + kWaitMs * kMs, left;
  int set = epoll_create1(0);
  while ((left = (end - guest_clock_ns(CLOCK_MONOTONIC)) / kMs) > 0) {
    int count = epoll_wait(set, &event, 1, (int)left + 1);
    CHECK(count == 0 || (count == -1 && errno == EINTR));
  }
}

static void* timed(void* body) {
  ((void (*)(void))body)();
  int64_t waited = (guest_clock_ns(CLOCK_MONOTONIC) - start) / kMs;
  int absolute = body == (void*)absolute_sleep || body == (void*)absolute_condition;
  int64_t latest = absolute ? kWaitMs + kSlackMs : 2 * kWaitMs + kSlackMs;
  if (waited < kWaitMs || waited > latest) dprintf(1, "waited %lld ms instead of %d\n", (long long)waited, kWaitMs);
  CHECK(waited >= kWaitMs && waited <= latest);
  return NULL;
}

int main(void) {
  void* bodies[] = {(void*)absolute_sleep, (void*)absolute_condition, (void*)relative_sleep,
                    (void*)relative_poll,  (void*)relative_select,    (void*)relative_epoll};
  enum { kThreads = sizeof bodies / sizeof *bodies };
  pthread_t threads[kThreads];
  start = guest_clock_ns(CLOCK_MONOTONIC);
  int64_t end = start + kWaitMs * kMs;
  until = (struct timespec){end / 1000000000, end % 1000000000};
  for (int i = 0; i < kThreads; i++) CHECK(pthread_create(&threads[i], NULL, timed, bodies[i]) == 0);
  guest_sleep_ms(50);
  guest_checkpoint_here();
  for (int i = 0; i < kThreads; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  return guest_pass();
}
