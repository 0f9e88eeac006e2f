// A thread in every kind of wait, over and over: a stop must neither end a wait early, nor show as EINTR where no
// handler ran, nor swallow the wake-up of a signal, nor lose a byte. With GUEST_KILLED set (whoever makes the
// checkpoint is killed midway) the calls that signal(7) lists under "interruption by stop signals" may show EINTR, as
// they may after any debugger's visit. mode: checkpoint
#include <arpa/inet.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "guest.h"

enum { kWaitMs = 30, kMaxThreads = 40 };

static volatile int stop;
static pthread_t threads[kMaxThreads];
static int thread_count;
static int silent_pipe[2];
static int tolerant;
static volatile int interruptions;

// The waits below last kWaitMs and end with `result` and, if that is -1, with `error`.
#define TIMED(name, setup, call, result, error) WAIT(name, setup, call, result, error, 0)
#define TIMED_OR_EINTR(name, setup, call, result, error) WAIT(name, setup, call, result, error, tolerant)
#define WAIT(name, setup, call, result, error, may_be_interrupted)                             \
  static void* name(void* unused) {                                                            \
    (void)unused;                                                                              \
    setup;                                                                                     \
    while (!stop) {                                                                            \
      int64_t start = guest_clock_ns(CLOCK_MONOTONIC);                                         \
      errno = 0;                                                                               \
      long got = (call);                                                                       \
      int64_t waited = guest_clock_ns(CLOCK_MONOTONIC) - start;                                \
      if ((may_be_interrupted) && got == -1 && errno == EINTR) {                               \
        interruptions++;                                                                       \
        continue;                                                                              \
      }                                                                                        \
      if (got != (result) || (got == -1 && errno != (error)))                                  \
        dprintf(1, #name ": %ld, errno %d after %ld us\n", got, errno, (long)(waited / 1000)); \
      CHECK(got == (result) && (got != -1 || errno == (error)));                               \
      CHECK(waited >= kWaitMs * 1000000LL - 1000000);                                          \
    }                                                                                          \
    return NULL;                                                                               \
  }

static const struct timespec kWait = {0, kWaitMs * 1000000L};

static struct timespec later(clockid_t clock) {
  struct timespec at;
  clock_gettime(clock, &at);
  at.tv_nsec += kWait.tv_nsec;
  if (at.tv_nsec >= 1000000000) {
    at.tv_nsec -= 1000000000;
    at.tv_sec++;
  }
  return at;
}

static long absolute_sleep(void) {
  struct timespec at = later(CLOCK_MONOTONIC);
  return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static long futex_wait(int operation, const struct timespec* time) {
  static int word;
  return syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, 0, time, NULL, FUTEX_BITSET_MATCH_ANY);
}

static long futex_wait_until(void) {
  struct timespec at = later(CLOCK_MONOTONIC);
  return futex_wait(FUTEX_WAIT_BITSET, &at);
}

static long select_silent(const sigset_t* mask) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(silent_pipe[0], &set);
  if (mask) return pselect(silent_pipe[0] + 1, &set, NULL, NULL, &kWait, mask);
  struct timeval time = {0, kWaitMs * 1000};
  return select(silent_pipe[0] + 1, &set, NULL, NULL, &time);
}

static int silent_socket(void) {
  int pair[2];
  struct timeval time = {0, kWaitMs * 1000};
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  return pair[0];
}

static struct pollfd silent_query(void) { return (struct pollfd){.fd = silent_pipe[0], .events = POLLIN}; }

static sigset_t only(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return set;
}

TIMED(wait_nanosleep, , nanosleep(&kWait, NULL), 0, 0)
TIMED(wait_absolute, , absolute_sleep(), 0, 0)
TIMED(wait_poll, struct pollfd p = silent_query(), poll(&p, 1, kWaitMs), 0, 0)
TIMED(wait_ppoll, struct pollfd p = silent_query(); sigset_t m = only(SIGUSR2), ppoll(&p, 1, &kWait, &m), 0, 0)
TIMED(wait_select, , select_silent(NULL), 0, 0)
TIMED(wait_pselect, sigset_t m = only(SIGUSR2), select_silent(&m), 0, 0)
TIMED_OR_EINTR(wait_epoll, struct epoll_event e; int fd = epoll_create1(0), epoll_wait(fd, &e, 1, kWaitMs), 0, 0)
TIMED_OR_EINTR(wait_epoll_pwait, struct epoll_event e; int fd = epoll_create1(0);
               sigset_t m = only(SIGUSR2), epoll_pwait(fd, &e, 1, kWaitMs, &m), 0, 0)
TIMED(wait_futex, , futex_wait(FUTEX_WAIT, &kWait), -1, ETIMEDOUT)
TIMED(wait_futex_until, , futex_wait_until(), -1, ETIMEDOUT)
TIMED_OR_EINTR(wait_signal, sigset_t m = only(SIGUSR2), sigtimedwait(&m, NULL, &kWait), -1, EAGAIN)
TIMED_OR_EINTR(wait_receive, char c; int fd = silent_socket(), recv(fd, &c, 1, 0), -1, EAGAIN)

// The real time goes on while an image lies on disk, the monotonic clock does not.
static void* wait_realtime(void* unused) {
  (void)unused;
  while (!stop) {
    struct timespec at = later(CLOCK_REALTIME), now;
    CHECK(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL) == 0);
    clock_gettime(CLOCK_REALTIME, &now);
    CHECK(now.tv_sec > at.tv_sec || (now.tv_sec == at.tv_sec && now.tv_nsec >= at.tv_nsec));
  }
  return NULL;
}

// Never returns: nobody connects.
static void* wait_accept(void* unused) {
  (void)unused;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  CHECK(bind(fd, (struct sockaddr*)&any, sizeof any) == 0 && listen(fd, 7) == 0);
  accept(fd, NULL, NULL);
  if (!stop) guest_fail(__FILE__, __LINE__, "accept returned");
  return NULL;
}

// Two threads hand a counter to and fro.
struct channel {
  int in, out;
};

static void* echo(void* argument) {
  struct channel* channel = argument;
  uint64_t value, expected = 0;
  while (read(channel->in, &value, sizeof value) == sizeof value) {
    CHECK(value == expected || value == 0);
    expected = value + 1;
    if (write(channel->out, &value, sizeof value) != sizeof value) break;
  }
  return NULL;
}

static void* ask(void* argument) {
  struct channel* channel = argument;
  for (uint64_t value = 0; !stop; value++) {
    uint64_t answer = ~0ULL;
    CHECK(write(channel->out, &value, sizeof value) == sizeof value);
    CHECK(read(channel->in, &answer, sizeof answer) == sizeof answer && answer == value);
    if (value % 64 == 0) guest_sleep_ms(1);
  }
  return NULL;
}

static void* timer_ticks(void* unused) {
  (void)unused;
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec each = {{0, 3000000}, {0, 3000000}};
  CHECK(timerfd_settime(fd, 0, &each, NULL) == 0);
  while (!stop) {
    uint64_t ticks = 0;
    CHECK(read(fd, &ticks, sizeof ticks) == sizeof ticks && ticks > 0);
  }
  return NULL;
}

// A signal sent to a thread in sigsuspend or pause must wake it: the sender waits for the answer.
static pthread_t suspended;
static sem_t suspended_answered;
static volatile sig_atomic_t suspended_signalled;

static void on_usr1(int signal) {
  (void)signal;
  suspended_signalled++;
}

static void* suspend(void* unused) {
  (void)unused;
  sigset_t blocked = only(SIGUSR1), open;
  pthread_sigmask(SIG_BLOCK, &blocked, &open);
  sigdelset(&open, SIGUSR1);
  for (int seen = 0; !stop; seen++) {
    CHECK(sigsuspend(&open) == -1 && errno == EINTR);
    CHECK(suspended_signalled == seen + 1);
    sem_post(&suspended_answered);
  }
  return NULL;
}

static void* wake_suspended(void* unused) {
  (void)unused;
  while (!stop) {
    pthread_kill(suspended, SIGUSR1);
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    while (sem_timedwait(&suspended_answered, &limit) != 0) CHECK(errno == EINTR);
    guest_sleep_ms(1);
  }
  return NULL;
}

static void start(void* (*body)(void*), void* argument) {
  CHECK(thread_count < kMaxThreads);
  CHECK(pthread_create(&threads[thread_count++], NULL, body, argument) == 0);
}

int main(void) {
  static struct channel pipes[2], sockets[2];
  tolerant = getenv("GUEST_KILLED") != NULL;
  int first[2], second[2];
  struct sigaction action = {.sa_handler = on_usr1};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  sigset_t usr2 = only(SIGUSR2);
  CHECK(sigprocmask(SIG_BLOCK, &usr2, NULL) == 0);
  CHECK(pipe(silent_pipe) == 0 && sem_init(&suspended_answered, 0, 0) == 0);
  CHECK(pipe(first) == 0 && pipe(second) == 0);
  pipes[0] = (struct channel){first[0], second[1]};
  pipes[1] = (struct channel){second[0], first[1]};
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, first) == 0);
  sockets[0] = (struct channel){first[0], first[0]};
  sockets[1] = (struct channel){first[1], first[1]};

  void* (*waits[])(void*) = {wait_nanosleep,   wait_absolute, wait_realtime, wait_poll,        wait_ppoll,
                             wait_select,      wait_pselect,  wait_epoll,    wait_epoll_pwait, wait_futex,
                             wait_futex_until, wait_signal,   wait_receive,  wait_accept,      timer_ticks};
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) start(waits[i], NULL);
  for (int i = 0; i < 2; i++) {
    start(i == 0 ? echo : ask, &pipes[i]);
    start(i == 0 ? echo : ask, &sockets[i]);
  }
  start(suspend, NULL);
  suspended = threads[thread_count - 1];
  start(wake_suspended, NULL);

  guest_checkpoint_here();

  guest_sleep_ms(200);
  stop = 1;
  if (interruptions != 0) printf("%d interruptions\n", interruptions);
  return guest_pass();
}
