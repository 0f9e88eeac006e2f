// Many threads: each has an id of its own that the C library, the kernel and the creator agree on, mutexes that note their owner work,
// and signals sent to threads reach them. GUEST_ROUNDS sets how often.
// build: static musl
#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>

#include "guest.h"

#define AT_ONCE 200

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t checking, recursive;
static int ids[AT_ONCE], count;
static volatile int signals_to[AT_ONCE];
static sem_t finished;
static __thread int own_index = -1;

static int shift(void) {
  const char* text = getenv("GUEST_SHIFT");
  return text ? atoi(text) : 0;
}

static void on_signal(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  CHECK(info->si_code == SI_TKILL && info->si_pid == getpid());
  if (own_index >= 0) __atomic_fetch_add(&signals_to[own_index], 1, __ATOMIC_RELAXED);
}

static void use_mutexes(void) {
  CHECK(pthread_mutex_lock(&checking) == 0 && pthread_mutex_lock(&checking) == EDEADLK);
  CHECK(pthread_mutex_unlock(&checking) == 0 && pthread_mutex_unlock(&checking) == EPERM);
  CHECK(pthread_mutex_lock(&recursive) == 0 && pthread_mutex_lock(&recursive) == 0);
  CHECK(pthread_mutex_unlock(&recursive) == 0 && pthread_mutex_unlock(&recursive) == 0);
}

static void* run(void* index) {
  own_index = (int)(intptr_t)index;
  int tid = (int)syscall(SYS_gettid);
  CHECK(tid > shift() && tid != getpid());
  CHECK(syscall(SYS_tgkill, getpid(), tid, 0) == 0);
  CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0 && signals_to[own_index] == 1);
  CHECK(syscall(SYS_tgkill, getpid(), tid, SIGUSR1) == 0 && signals_to[own_index] == 2);
  use_mutexes();
  CHECK(pthread_mutex_lock(&counting) == 0);
  ids[count++] = tid;
  CHECK(pthread_mutex_unlock(&counting) == 0);
  return (void*)(intptr_t)tid;
}

static int compare(const void* a, const void* b) { return *(const int*)a - *(const int*)b; }

static void many_at_once(void) {
  pthread_t threads[AT_ONCE];
  int returned[AT_ONCE];
  count = 0;
  memset((void*)signals_to, 0, sizeof signals_to);
  CHECK(pthread_mutex_lock(&counting) == 0);  // all of them live at the same time
  for (int i = 0; i < AT_ONCE; i++) CHECK(pthread_create(&threads[i], NULL, run, (void*)(intptr_t)i) == 0);
  CHECK(pthread_mutex_unlock(&counting) == 0);
  for (int i = 0; i < AT_ONCE; i++) {
    void* tid;
    CHECK(pthread_join(threads[i], &tid) == 0);
    returned[i] = (int)(intptr_t)tid;
  }
  CHECK(count == AT_ONCE);
  qsort(ids, AT_ONCE, sizeof ids[0], compare);
  qsort(returned, AT_ONCE, sizeof returned[0], compare);
  CHECK(memcmp(ids, returned, sizeof ids) == 0);
  for (int i = 1; i < AT_ONCE; i++) CHECK(ids[i] != ids[i - 1]);
}

static void* run_detached(void* unused) {
  CHECK(pthread_detach(pthread_self()) == 0);
  CHECK((int)syscall(SYS_gettid) > shift());
  CHECK(sem_post(&finished) == 0);
  return unused;
}

static void detached(void) {
  for (int i = 0; i < 100; i++) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run_detached, NULL) == 0);
    while (sem_wait(&finished) == -1) CHECK(errno == EINTR);
  }
}

// Threads that fork at the same time: each child is one thread, the process's main one, with its own id.
static void* run_fork(void* unused) {
  for (int i = 0; i < 5; i++) {
    pid_t child = fork();
    if (child == 0) _exit(syscall(SYS_gettid) == getpid() && getpid() > shift() ? 3 : 4);
    int status;
    CHECK(child > shift() && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3);
  }
  return unused;
}

static void forking(void) {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, run_fork, NULL) == 0);
  for (int i = 0; i < 8; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(void) {
  const char* text = getenv("GUEST_ROUNDS");
  int rounds = text ? atoi(text) : 5;
  pthread_mutexattr_t attributes;
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK) == 0);
  CHECK(pthread_mutex_init(&checking, &attributes) == 0);
  CHECK(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE) == 0);
  CHECK(pthread_mutex_init(&recursive, &attributes) == 0 && sem_init(&finished, 0, 0) == 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  for (int i = 0; i < rounds; i++) {
    many_at_once();
    detached();
    forking();
    use_mutexes();
  }
  return guest_pass();
}
