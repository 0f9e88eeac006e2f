// Mutexes whose words hold a thread's id: error-checking, recursive, robust, with priority inheritance; private and shared between
// processes; owners that unlock, exit, end by a signal, or are only waited for by attempts with a limit.
// build: static musl
#include <pthread.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "guest.h"

static pthread_mutex_t* make(int type, int shared, int robust, int protocol) {
  pthread_mutex_t* mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(mutex != MAP_FAILED);
  pthread_mutexattr_t attributes;
  CHECK(pthread_mutexattr_init(&attributes) == 0 && pthread_mutexattr_settype(&attributes, type) == 0);
  CHECK(pthread_mutexattr_setpshared(&attributes, shared) == 0);
  CHECK(pthread_mutexattr_setrobust(&attributes, robust) == 0);
  CHECK(pthread_mutexattr_setprotocol(&attributes, protocol) == 0);
  CHECK(pthread_mutex_init(mutex, &attributes) == 0);
  return mutex;
}

static struct timespec after_ms(int ms) {
  struct timespec time;
  CHECK(clock_gettime(CLOCK_REALTIME, &time) == 0);
  time.tv_nsec += ms * 1000000L;
  time.tv_sec += time.tv_nsec / 1000000000;
  time.tv_nsec %= 1000000000;
  return time;
}

static int timed_lock(pthread_mutex_t* mutex, int ms) {
  struct timespec until = after_ms(ms);
  return pthread_mutex_timedlock(mutex, &until);
}

static void* lock_and_end(void* mutex) {
  CHECK(pthread_mutex_lock(mutex) == 0);
  return NULL;
}

static void* attempt(void* mutex) {
  CHECK(pthread_mutex_trylock(mutex) == EBUSY);
  CHECK(timed_lock(mutex, 250) == ETIMEDOUT);
  return NULL;
}

static void* lock_and_unlock(void* mutex) {
  CHECK(pthread_mutex_lock(mutex) == 0 && pthread_mutex_unlock(mutex) == 0);
  return NULL;
}

static void in_thread(void* (*function)(void*), void* argument) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, function, argument) == 0 && pthread_join(thread, NULL) == 0);
}

static void owners_of_kind(int shared, int robust, int protocol) {
  pthread_mutex_t* mutex = make(PTHREAD_MUTEX_ERRORCHECK, shared, robust, protocol);
  CHECK(pthread_mutex_lock(mutex) == 0 && pthread_mutex_lock(mutex) == EDEADLK);
  in_thread(attempt, mutex);
  CHECK(pthread_mutex_unlock(mutex) == 0 && pthread_mutex_unlock(mutex) == EPERM);
  mutex = make(PTHREAD_MUTEX_RECURSIVE, shared, robust, protocol);
  for (int i = 0; i < 3; i++) CHECK(pthread_mutex_lock(mutex) == 0);
  in_thread(attempt, mutex);
  pthread_t waiters[3];
  for (int i = 0; i < 3; i++) CHECK(pthread_create(&waiters[i], NULL, lock_and_unlock, mutex) == 0);
  guest_sleep_ms(30);
  for (int i = 0; i < 3; i++) CHECK(pthread_mutex_unlock(mutex) == 0);
  for (int i = 0; i < 3; i++) CHECK(pthread_join(waiters[i], NULL) == 0);
  CHECK(pthread_mutex_unlock(mutex) == EPERM);
}

static pthread_mutex_t* counted;
static int* counter;

static void* count(void* unused) {
  for (int i = 0; i < 2000; i++) {
    CHECK(pthread_mutex_lock(counted) == 0);
    int seen = *(volatile int*)counter;
    if (i % 64 == 0) sched_yield();
    *(volatile int*)counter = seen + 1;
    CHECK(pthread_mutex_unlock(counted) == 0);
  }
  return unused;
}

// Two threads in each of two processes exclude each other.
static void exclusion(int robust, int protocol) {
  counted = make(PTHREAD_MUTEX_NORMAL, PTHREAD_PROCESS_SHARED, robust, protocol);
  counter = (int*)(void*)((char*)counted + 2048);
  pid_t child = fork();
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, count, NULL) == 0);
  count(NULL);
  CHECK(pthread_join(thread, NULL) == 0);
  if (child == 0) _exit(0);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0 && *counter == 8000);
}

enum end { kByExit, kByKill, kUnreaped };

// An owner in another process that ends: noticed by who waits already, and by who comes later.
static void dead_owner(int protocol, enum end end, int waits_already) {
  pthread_mutex_t* mutex = make(PTHREAD_MUTEX_NORMAL, PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST, protocol);
  volatile int* held = (volatile int*)(void*)((char*)mutex + 2048);
  pid_t child = fork();
  if (child == 0) {
    CHECK(pthread_mutex_lock(mutex) == 0);
    *held = 1;
    guest_sleep_ms(waits_already ? 150 : 0);
    if (end == kByExit) _exit(0);
    kill(getpid(), SIGKILL);
  }
  int status;
  while (!*held) guest_sleep_ms(1);
  if (end != kUnreaped && !waits_already) CHECK(waitpid(child, &status, 0) == child);
  if (end == kByExit && !waits_already) {
    CHECK(pthread_mutex_trylock(mutex) == EOWNERDEAD);
  } else {
    CHECK((waits_already ? pthread_mutex_lock(mutex) : timed_lock(mutex, 3000)) == EOWNERDEAD);
  }
  CHECK(pthread_mutex_consistent(mutex) == 0 && pthread_mutex_unlock(mutex) == 0);
  CHECK(pthread_mutex_lock(mutex) == 0 && pthread_mutex_unlock(mutex) == 0);
  if (end == kUnreaped || waits_already) CHECK(waitpid(child, &status, 0) == child);
}

// As threads end one after the other with the mutex held, each next one finds out.
static void ended_threads(int shared, int protocol) {
  pthread_mutex_t* mutex = make(PTHREAD_MUTEX_NORMAL, shared, PTHREAD_MUTEX_ROBUST, protocol);
  for (int i = 0; i < 3; i++) {
    in_thread(lock_and_end, mutex);
    CHECK(timed_lock(mutex, 3000) == EOWNERDEAD);
    CHECK(pthread_mutex_consistent(mutex) == 0 && pthread_mutex_unlock(mutex) == 0);
  }
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal) {
  (void)signal;
  alarms++;
}

static volatile int held_now;

// Until the other one has been interrupted often.
static void* hold_for_a_while(void* mutex) {
  CHECK(pthread_mutex_lock(mutex) == 0);
  held_now = 1;
  while (alarms < 100) guest_sleep_ms(1);
  CHECK(pthread_mutex_unlock(mutex) == 0);
  return NULL;
}

// Signals interrupt the wait, with and without SA_RESTART, and it goes on.
static void waits_under_signals(int robust, int protocol, int flags) {
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  pthread_mutex_t* mutex = make(PTHREAD_MUTEX_NORMAL, PTHREAD_PROCESS_SHARED, robust, protocol);
  sigset_t alarm_set, before;
  sigemptyset(&alarm_set);
  sigaddset(&alarm_set, SIGALRM);
  CHECK(pthread_sigmask(SIG_BLOCK, &alarm_set, &before) == 0);
  pthread_t thread;
  alarms = held_now = 0;
  CHECK(pthread_create(&thread, NULL, hold_for_a_while, mutex) == 0);
  CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
  while (!held_now) guest_sleep_ms(1);
  struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
  CHECK(pthread_mutex_lock(mutex) == 0 && pthread_mutex_unlock(mutex) == 0);
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0 && alarms >= 100);
  CHECK(pthread_join(thread, NULL) == 0);
}

static void bad_words(void) {
  CHECK(syscall(SYS_futex, 1L, 6L, 0L, NULL) == -1 && (errno == EINVAL || errno == EFAULT));
  CHECK(syscall(SYS_futex, 4096L, 6L, 0L, NULL) == -1 && errno == EFAULT);
  static const uint32_t constant = 0;
  CHECK(syscall(SYS_futex, &constant, 6L, 0L, NULL) == -1 && errno == EFAULT);
  uint32_t word = 0;
  CHECK(syscall(SYS_futex, &word, 7L, 0L, NULL) == -1 && errno == EPERM);
  CHECK(syscall(SYS_futex, &word, 6L, 0L, NULL) == 0 && (word & 0x3fffffff) == (uint32_t)syscall(SYS_gettid));
  CHECK(syscall(SYS_futex, &word, 6L, 0L, NULL) == -1 && errno == EDEADLK);
  CHECK(syscall(SYS_futex, &word, 8L, 0L, NULL) == -1 && errno == EDEADLK);
  CHECK(syscall(SYS_futex, &word, 7L, 0L, NULL) == 0 && word == 0);
  word = 0x3ffffff;  // nobody
  CHECK(syscall(SYS_futex, &word, 6L, 0L, NULL) == -1 && errno == ESRCH);
}

int main(void) {
  const int protocols[] = {PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT};
  for (int i = 0; i < 2; i++) {
    int protocol = protocols[i];
    for (int shared = 0; shared < 2; shared++) {
      for (int robust = 0; robust < 2; robust++) owners_of_kind(shared, robust, protocol);
      ended_threads(shared, protocol);
    }
    exclusion(PTHREAD_MUTEX_STALLED, protocol);
    exclusion(PTHREAD_MUTEX_ROBUST, protocol);
    for (enum end end = kByExit; end <= kUnreaped; end++) {
      dead_owner(protocol, end, 0);
      dead_owner(protocol, end, 1);
    }
    waits_under_signals(PTHREAD_MUTEX_ROBUST, protocol, 0);
    waits_under_signals(PTHREAD_MUTEX_STALLED, protocol, SA_RESTART);
  }
  bad_words();
  return guest_pass();
}
