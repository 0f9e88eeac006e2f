// fork and clone in their forms: a new stack in the child, tids stored, children of children, of threads, with signals
// arriving. build: static musl
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "guest.h"

static volatile int ticks;
static void on_tick(int signal) {
  (void)signal;
  ticks++;
}

static int status_of(pid_t child) {
  int status;
  pid_t waited;
  while ((waited = waitpid(child, &status, __WALL)) < 0 && errno == EINTR) {
  }
  CHECK(waited == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static int on_own_stack(void* argument) {
  char local;
  char* stack = (char*)argument;
  if (&local < stack || &local >= stack + 65536) return 1;
  char link[256];
  return readlink("/proc/self/exe", link, sizeof link) > 0 && signal(SIGUSR1, SIG_IGN) != SIG_ERR ? 5 : 2;
}

static void* fork_here(void* unused) {
  for (int i = 0; i < 20; i++) {
    pid_t child = fork();
    if (child == 0) {
      pid_t grandchild = fork();
      if (grandchild == 0) _exit(getppid() == 1 ? 9 : 3);
      _exit(status_of(grandchild) + 1);
    }
    CHECK(status_of(child) == 4);
  }
  return unused;
}

int main(void) {
  struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  struct itimerval often = {{0, 2000}, {0, 2000}};
  CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
  char* stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(stack != MAP_FAILED);
  CHECK(status_of(clone(on_own_stack, stack + 65536, SIGCHLD, stack)) == 5);
  CHECK(status_of(clone(on_own_stack, stack + 65536, CLONE_VM | CLONE_VFORK | SIGCHLD, stack)) == 5);
  struct sigaction now;
  CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
  pid_t parent_tid = 0, child_tid = 0;
  pid_t child =
      (pid_t)syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, NULL, &parent_tid, &child_tid, 0);
  if (child == 0) _exit(child_tid == getpid() ? 6 : 7);
  CHECK(status_of(child) == 6 && parent_tid == child && child_tid == 0);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, fork_here, NULL) == 0);
  for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(ticks > 0);
  return guest_pass();
}
