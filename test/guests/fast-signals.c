// Calls from rewritten sites under a storm of signals: every call is made exactly once and gives what it should, no handler finds the program
// anywhere but in its own text, and a handler may leave by siglongjmp from wherever it came.
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "fast.h"

enum { kThreads = 2, kRounds = 6000 };
static pid_t self;
static volatile int running = kThreads;
static __thread volatile int received, jumps;
static __thread volatile sig_atomic_t may_jump;
static __thread sigjmp_buf home;
static __thread unsigned random_state;

static void on_storm(int signal, siginfo_t* info, void* context) {
  (void)info;
  CHECK(signal == SIGALRM || signal == SIGUSR1);
  guest_check_place(context);
  CHECK(getpid() == self);
  sigset_t mask;
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, signal) == 1);
  if (!may_jump) return;
  random_state = random_state * 1103515245 + 12345;
  if (random_state >> 16 & 3) return;
  may_jump = 0;
  jumps++;
  siglongjmp(home, 1);
}

static void on_own(int signal, siginfo_t* info, void* context) {
  CHECK(signal == SIGUSR2 && info->si_pid == self);
  guest_check_place(context);
  received++;
}

static int open_descriptors(void) {
  int count = 0;
  DIR* directory = opendir("/proc/self/fd");
  CHECK(directory);
  while (readdir(directory)) count++;
  closedir(directory);
  return count;
}

// SIGUSR2 is blocked throughout by the caller, but for the instant of the call.
static void check_masks(void) {
  sigset_t all, none, before, after;
  sigfillset(&all);
  sigemptyset(&none);
  CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0);
  CHECK(sigismember(&after, SIGALRM) == 1 && (sigismember(&after, SIGSYS) == 1 || !guest_shift()));
  CHECK(sigismember(&before, SIGALRM) == 0 && sigismember(&before, SIGCHLD) == 1 && sigismember(&before, SIGSYS) == 0);
  CHECK(pthread_sigmask(SIG_SETMASK, &before, &after) == 0);
  CHECK(sigismember(&after, SIGALRM) == 1 && sigismember(&after, SIGTERM) == 1);
  CHECK(pthread_sigmask(SIG_UNBLOCK, &none, &after) == 0);
  CHECK(sigismember(&after, SIGALRM) == 0 && sigismember(&after, SIGCHLD) == 1 && sigismember(&after, SIGSYS) == 0);
}

static void check_action(void) {
  struct sigaction action;
  CHECK(sigaction(SIGALRM, NULL, &action) == 0);
  CHECK(action.sa_sigaction == on_storm && (action.sa_flags & (SA_SIGINFO | SA_RESTART)) == (SA_SIGINFO | SA_RESTART));
}

static void check_once(void) {
  const int before = received;
  CHECK(pthread_kill(pthread_self(), SIGUSR2) == 0);
  CHECK(received == before + 1);  // not blocked: delivered before the call returns, and once
}

static void check_files(void) {
  struct stat status;
  CHECK(stat("/", &status) == 0 && S_ISDIR(status.st_mode));
  CHECK(stat("/nowhere/at/all", &status) == -1 && errno == ENOENT);
  CHECK(stat((const char*)8, &status) == -1 && errno == EFAULT);
  CHECK(access("/", R_OK) == 0);
  const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  CHECK(fd >= 0 && close(fd) == 0);
}

static void* work(void* argument) {
  random_state = (unsigned)(uintptr_t)argument;
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  CHECK(pthread_sigmask(SIG_SETMASK, &chld, NULL) == 0);
  const pid_t tid = gettid();
  for (int i = 0; i < kRounds; i++) {
    CHECK(getpid() == self && gettid() == tid && getppid() > 0);
    CHECK(kill(self, 0) == 0 && kill(0x3ffff0, 0) == -1 && errno == ESRCH);
    check_once();
    check_masks();
    check_action();
    check_files();
    // Jumps out of calls that hold nothing.
    if (sigsetjmp(home, 1) == 0) {
      may_jump = 1;
      for (int j = 0; j < 4; j++) CHECK(getpid() == self && access("/", F_OK) == 0);
    }
    may_jump = 0;
  }
  __atomic_sub_fetch(&running, 1, __ATOMIC_RELEASE);
  return (void*)(intptr_t)jumps;
}

int main(void) {
  self = getpid();
  dl_iterate_phdr(guest_note_text, NULL);
  struct sigaction storm = {.sa_sigaction = on_storm, .sa_flags = SA_SIGINFO | SA_RESTART};
  struct sigaction own = {.sa_sigaction = on_own, .sa_flags = SA_SIGINFO | SA_RESTART};
  CHECK(sigaction(SIGALRM, &storm, NULL) == 0 && sigaction(SIGUSR1, &storm, NULL) == 0 &&
        sigaction(SIGUSR2, &own, NULL) == 0);
  const int descriptors = open_descriptors();
  struct itimerval every = {{0, 400}, {0, 400}};
  CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
  pthread_t threads[kThreads];
  for (long i = 0; i < kThreads; i++) CHECK(pthread_create(&threads[i], NULL, work, (void*)(i + 1)) == 0);
  for (int i = 0; __atomic_load_n(&running, __ATOMIC_ACQUIRE) > 0; i++) {
    kill(self, SIGUSR1);
    for (int j = 0; j < 50; j++) CHECK(gettid() == self);
  }
  struct itimerval never = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
  intptr_t jumped = 0;
  for (int i = 0; i < kThreads; i++) {
    void* result;
    CHECK(pthread_join(threads[i], &result) == 0);
    jumped += (intptr_t)result;
  }
  CHECK(jumped > 0 && open_descriptors() == descriptors);
  if (guest_shift() && !getenv("GUEST_NO_FAST_PATH")) CHECK(guest_is_rewritten("getpid") && guest_is_rewritten("kill"));
  if (!guest_shift() || getenv("GUEST_NO_FAST_PATH")) CHECK(!guest_is_rewritten("getpid"));
  return guest_pass();
}
