// Threads that never rest: trapped calls one after the other, handlers on an alternate stack, vector registers, clocks.
// Wherever a stop falls, masks, registers, stacks and counts stay right. mode: checkpoint
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <ucontext.h>

#include "guest.h"

static volatile int stop;
static volatile uint64_t rounds[16];

static sigset_t set_of(int first, int second) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, first);
  if (second) sigaddset(&set, second);
  return set;
}

// rt_sigprocmask: what was set is what is read.
static void* masks(void* index) {
  sigset_t one = set_of(SIGUSR1, 0), two = set_of(SIGUSR2, SIGWINCH), now;
  while (!stop) {
    CHECK(pthread_sigmask(SIG_SETMASK, &one, NULL) == 0 && pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
    CHECK(sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
    CHECK(pthread_sigmask(SIG_BLOCK, &two, &now) == 0 && sigismember(&now, SIGUSR1) && !sigismember(&now, SIGWINCH));
    CHECK(pthread_sigmask(SIG_UNBLOCK, &one, &now) == 0 && sigismember(&now, SIGWINCH) && sigismember(&now, SIGUSR1));
    rounds[(intptr_t)index]++;
  }
  return NULL;
}

// Calls with a mask that do not wait.
static void* masked_calls(void* index) {
  int ends[2];
  CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
  int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
  sigset_t mask = set_of(SIGUSR2, 0);
  const struct timespec now = {0, 0};
  while (!stop) {
    struct pollfd query = {ends[0], POLLIN, 0};
    CHECK(ppoll(&query, 1, &now, &mask) == 1 && query.revents == POLLIN);
    event.data.u64 = 0;
    CHECK(epoll_pwait(epoll, &event, 1, 0, &mask) == 1 && event.data.u64 == 77);
    rounds[(intptr_t)index]++;
  }
  return NULL;
}

// Signals to oneself, handled on an alternate stack, leaving by sigreturn.
static _Thread_local volatile uint64_t handled;
static _Thread_local char* stack_base;
enum { kStackBytes = 65536 };

static void on_usr1(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  char here;
  CHECK(&here >= stack_base && &here < stack_base + kStackBytes);
  CHECK(((ucontext_t*)context)->uc_stack.ss_sp == stack_base);
  handled++;
}

static void* handlers(void* index) {
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, NULL);
  stack_base = malloc(kStackBytes);
  stack_t stack = {.ss_sp = stack_base, .ss_size = kStackBytes}, now;
  CHECK(sigaltstack(&stack, NULL) == 0);
  while (!stop) {
    uint64_t before = handled;
    CHECK(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1) == 0);
    CHECK(handled == before + 1);
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == stack_base && now.ss_size == kStackBytes && now.ss_flags == 0);
    rounds[(intptr_t)index]++;
  }
  return NULL;
}

// Registers: a recurrence over integers and one over vectors, both checked.
static void* registers(void* index) {
  typedef double vector __attribute__((vector_size(16)));
  while (!stop) {
    uint64_t a = 88172645463325252ULL, b = a;
    vector x = {1.0, 2.0}, y = x, step = {1.0000001, 0.9999999};
    for (int i = 0; i < 20000; i++) {
      a ^= a << 13, a ^= a >> 7, a ^= a << 17;
      x = x * step;
      __asm__ volatile("" : "+r"(a), "+x"(x));
    }
    for (int i = 0; i < 20000; i++) {
      b ^= b << 13, b ^= b >> 7, b ^= b << 17;
      y = y * step;
      __asm__ volatile("" : "+r"(b), "+x"(y));
    }
    CHECK(a == b && x[0] == y[0] && x[1] == y[1]);
    rounds[(intptr_t)index]++;
  }
  return NULL;
}

// The vdso: clocks never go back, the processor's number comes from the rseq area.
static void* clocks(void* index) {
  int64_t last = 0;
  int processors = (int)sysconf(_SC_NPROCESSORS_CONF);
  while (!stop) {
    for (int i = 0; i < 1000; i++) {
      int64_t now = guest_clock_ns(CLOCK_MONOTONIC);
      CHECK(now >= last);
      last = now;
    }
    int processor = sched_getcpu();
    CHECK(processor >= 0 && processor < processors);
    rounds[(intptr_t)index]++;
  }
  return NULL;
}

// Memory: pages come and go.
static void* memory(void* index) {
  while (!stop) {
    size_t bytes = 4096 * (1 + rounds[(intptr_t)index] % 300);
    uint8_t* block = malloc(bytes);
    memset(block, 0x5a, bytes);
    block = realloc(block, bytes * 2);
    for (size_t i = 0; i < bytes; i += 997) CHECK(block[i] == 0x5a);
    free(block);
    rounds[(intptr_t)index]++;
  }
  return NULL;
}

// Threads are born and end all the time.
static void* short_life(void* argument) { return argument; }

static void* births(void* index) {
  while (!stop) {
    pthread_t thread;
    void* result = NULL;
    CHECK(pthread_create(&thread, NULL, short_life, index) == 0 && pthread_join(thread, &result) == 0 &&
          result == index);
    rounds[(intptr_t)index]++;
  }
  return NULL;
}

// An interval timer interrupts whatever runs.
static volatile sig_atomic_t alarms;
static void on_alarm(int signal) {
  (void)signal;
  alarms++;
}

int main(void) {
  struct sigaction usr1 = {.sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO | SA_ONSTACK},
                   alarm = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGUSR1, &usr1, NULL) == 0 && sigaction(SIGALRM, &alarm, NULL) == 0);
  void* (*bodies[])(void*) = {masks, masked_calls, handlers, registers, clocks, memory, births};
  enum { kThreads = sizeof bodies / sizeof *bodies };
  pthread_t threads[kThreads];
  for (intptr_t i = 0; i < kThreads; i++) CHECK(pthread_create(&threads[i], NULL, bodies[i], (void*)i) == 0);
  struct itimerval often = {{0, 5000}, {0, 5000}};
  CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);

  guest_checkpoint_here();

  uint64_t before[kThreads];
  int alarms_before = alarms;
  for (int i = 0; i < kThreads; i++) before[i] = rounds[i];
  guest_sleep_ms(500);
  // The runner's patience is the limit: on a busy machine a thread may have to wait for its turn.
  for (int i = 0; i < kThreads; i++) {
    while (rounds[i] <= before[i]) guest_sleep_ms(10);
  }
  while (alarms <= alarms_before) guest_sleep_ms(10);
  stop = 1;
  for (int i = 0; i < kThreads; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  return guest_pass();
}
