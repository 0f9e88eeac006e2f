// POSIX timers: their ids, the thread that is told, si_timerid; clocks that measure a process or thread.
// build: static musl
#include <pthread.h>
#include <sys/wait.h>

#include "guest.h"

struct event {  // struct sigevent of the kernel
  union sigval value;
  int signal, notify, thread;
  int padding[11];
};

#define NOTIFY_THREAD 4

static long create(clockid_t clock, int notify, int signal, int thread, int* id) {
  struct event event = {.signal = signal, .notify = notify, .thread = thread};
  event.value.sival_int = 4711;
  return syscall(SYS_timer_create, clock, &event, id);
}

static volatile sig_atomic_t seen, seen_timer, seen_thread, seen_value;

static void on_signal(int signal, siginfo_t* info, void* context) {
  (void)context;
  (void)signal;
  seen_timer = info->si_timerid;
  seen_value = info->si_value.sival_int;
  seen_thread = (int)syscall(SYS_gettid);
  seen = 1;
}

static void arm(int id, long ns) {
  struct itimerspec setting = {{0, 0}, {0, ns}}, old;
  CHECK(syscall(SYS_timer_settime, id, 0, &setting, &old) == 0 && old.it_value.tv_sec == 0);
}

static void tells(int notify) {
  int id = -1;
  CHECK(create(CLOCK_MONOTONIC, notify, SIGUSR1, (int)syscall(SYS_gettid), &id) == 0 && id >= 0);
  const char* shift = getenv("GUEST_SHIFT");
  if (shift) CHECK(id >= atoi(shift));
  seen = 0;
  arm(id, 10000000);
  for (int i = 0; i < 5000 && !seen; i++) guest_sleep_ms(2);
  CHECK(seen && seen_timer == id && seen_value == 4711);
  if (notify == NOTIFY_THREAD) CHECK(seen_thread == (int)syscall(SYS_gettid));
  CHECK(syscall(SYS_timer_getoverrun, id) == 0);
  struct itimerspec left;
  arm(id, 900000000);
  CHECK(syscall(SYS_timer_gettime, id, &left) == 0 && left.it_value.tv_nsec > 0);

  // Taken by sigwaitinfo.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  struct itimerspec soon = {{0, 0}, {0, 1000000}};
  CHECK(syscall(SYS_timer_settime, id, 0, &soon, NULL) == 0);
  siginfo_t info;
  CHECK(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_code == SI_TIMER && info.si_timerid == id);
  CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
  CHECK(syscall(SYS_timer_delete, id) == 0);
  CHECK(syscall(SYS_timer_delete, id) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_timer_gettime, id, &left) == -1 && errno == EINVAL);
}

static void* in_thread(void* unused) {
  tells(NOTIFY_THREAD);
  return unused;
}

static void refusals(void) {
  int id;
  CHECK(create(CLOCK_MONOTONIC, NOTIFY_THREAD, SIGUSR1, 0x3ffffff, &id) == -1 && errno == EINVAL);
  CHECK(create(CLOCK_MONOTONIC, NOTIFY_THREAD, SIGUSR1, getppid(), &id) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, 1L) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_timer_create, CLOCK_MONOTONIC, 1L, &id) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_timer_delete, 0x7ffffff0) == -1 && errno == EINVAL);
}

// Timers are not the child's.
static void in_child(void) {
  int id, status;
  CHECK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0, &id) == 0);
  pid_t child = fork();
  if (child == 0) {
    CHECK(syscall(SYS_timer_delete, id) == -1 && errno == EINVAL);
    tells(NOTIFY_THREAD);
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(syscall(SYS_timer_delete, id) == 0);
}

static clockid_t clock_of(pid_t pid, int thread) { return (~pid << 3) | (thread ? 6 : 2); }

static void* wait_for_end(void* fd) {
  char byte;
  CHECK(read(*(int*)fd, &byte, 1) == 0);
  return NULL;
}

static void clocks(void) {
  clockid_t clock;
  struct timespec time;
  CHECK(clock_getcpuclockid(getpid(), &clock) == 0 && clock_gettime(clock, &time) == 0);
  CHECK(clock_getcpuclockid(getppid(), &clock) == 0 && clock_gettime(clock, &time) == 0);
  int refused = clock_getcpuclockid(0x3ffffff, &clock);
  CHECK(refused == ESRCH || refused == EINVAL);  // EINVAL of musl
  int ends[2];
  pthread_t thread;
  CHECK(pipe(ends) == 0 && pthread_create(&thread, NULL, wait_for_end, &ends[0]) == 0);
  CHECK(pthread_getcpuclockid(thread, &clock) == 0 && clock_gettime(clock, &time) == 0);
  CHECK(clock_getres(clock, &time) == 0);
  CHECK(close(ends[1]) == 0 && pthread_join(thread, NULL) == 0 && close(ends[0]) == 0);
  clock = clock_of(getpid(), 0);
  CHECK(syscall(SYS_clock_gettime, clock, &time) == 0 && syscall(SYS_clock_getres, clock, &time) == 0);
  CHECK(syscall(SYS_clock_gettime, clock_of(0x3ffffff, 0), &time) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_clock_settime, clock, &time) == -1 && errno == EPERM);
  int id;
  CHECK(create(clock, SIGEV_SIGNAL, SIGUSR1, 0, &id) == 0 && syscall(SYS_timer_delete, id) == 0);
}

int main(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  tells(SIGEV_SIGNAL);
  tells(NOTIFY_THREAD);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
  refusals();
  in_child();
  clocks();
  return guest_pass();
}
