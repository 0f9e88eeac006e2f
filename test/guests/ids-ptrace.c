// A tracer inside an application: requests by pid, the ids that events and siginfo tell, children traced from their birth.
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "guest.h"

static int shift(void) {
  const char* text = getenv("GUEST_SHIFT");
  return text ? atoi(text) : 0;
}

static int tracee(void) {
  raise(SIGSTOP);
  pid_t child = fork();
  if (child == 0) _exit(7);
  int status;
  if (waitpid(child, &status, 0) != child) return 1;
  kill(getppid(), 0);
  kill(getpid(), SIGUSR1);  // the tracer swallows it
  return child > shift() ? 9 : 1;
}

static void go_on(pid_t pid, int signal) { CHECK(ptrace(PTRACE_CONT, pid, NULL, (void*)(intptr_t)signal) == 0); }

// A tracer that blocks every signal of a process that is in its own code.
static void masked(void) {
  volatile int* go = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(go != MAP_FAILED);
  const pid_t parent = getpid();
  pid_t child = fork();
  if (child == 0) {
    go[1] = 1;
    while (*go == 0);
    for (int i = 0; i < 100; i++) {
      if (syscall(SYS_getppid) != parent || kill(parent, 0) != 0) _exit(1);
    }
    _exit(5);
  }
  int status;
  uint64_t mask = ~0UL;
  while (go[1] == 0) guest_sleep_ms(1);
  CHECK(ptrace(PTRACE_SEIZE, child, NULL, NULL) == 0 && ptrace(PTRACE_INTERRUPT, child, NULL, NULL) == 0);
  CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
  CHECK(ptrace(PTRACE_SETSIGMASK, child, sizeof mask, &mask) == 0);
  CHECK(ptrace(PTRACE_SETSIGMASK, child, sizeof mask, (void*)8) == -1 && errno == EFAULT);
  CHECK(ptrace(PTRACE_SETSIGMASK, child, 4UL, &mask) == -1 && errno == EINVAL);
  mask = 0;
  CHECK(ptrace(PTRACE_GETSIGMASK, child, sizeof mask, &mask) == 0 && (mask >> (SIGTERM - 1) & 1) == 1);
  CHECK(ptrace(PTRACE_DETACH, child, NULL, NULL) == 0);
  *go = 1;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

int main(void) {
  masked();
  pid_t child = fork();
  if (child == 0) {
    CHECK(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    _exit(tracee());
  }
  int status, grandchild_ended = 0, seen_signal = 0;
  pid_t grandchild = 0;
  do CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
  while (WSTOPSIG(status) != SIGSTOP && ptrace(PTRACE_CONT, child, NULL, (void*)(intptr_t)WSTOPSIG(status)) == 0);
  CHECK(ptrace(PTRACE_SETOPTIONS, child, NULL, (void*)(PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL)) == 0);
  go_on(child, 0);
  for (;;) {
    pid_t pid = waitpid(-1, &status, __WALL);
    CHECK(pid > shift() && (pid == child || grandchild == 0 || pid == grandchild));
    if (WIFEXITED(status)) {
      CHECK(WEXITSTATUS(status) == (pid == child ? 9 : 7));
      if (pid == child) break;
      grandchild_ended = 1;
      continue;
    }
    CHECK(WIFSTOPPED(status));
    if (pid == child && status >> 16 == PTRACE_EVENT_FORK) {
      unsigned long message = 0;
      CHECK(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &message) == 0);
      CHECK((long)message > shift() && (pid_t)message != child && (grandchild == 0 || grandchild == (pid_t)message));
      grandchild = (pid_t)message;
      go_on(pid, 0);
    } else if (pid != child && WSTOPSIG(status) == SIGSTOP) {
      if (grandchild == 0) grandchild = pid;
      go_on(pid, 0);
    } else if (WSTOPSIG(status) == SIGUSR1) {
      siginfo_t info;
      CHECK(ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0 && info.si_pid == child);
      CHECK(ptrace(PTRACE_SETSIGINFO, pid, NULL, &info) == 0);
      CHECK(ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0 && info.si_pid == child);
      seen_signal = 1;
      go_on(pid, 0);
    } else {
      go_on(pid, WSTOPSIG(status));
    }
  }
  CHECK(grandchild != 0 && grandchild_ended && seen_signal);

  // Attached from outside.
  child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  CHECK(ptrace(PTRACE_ATTACH, child, NULL, NULL) == 0 && waitpid(child, &status, 0) == child && WIFSTOPPED(status));
  CHECK(ptrace(PTRACE_DETACH, child, NULL, NULL) == 0 && kill(child, SIGKILL) == 0);
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
  CHECK(ptrace(PTRACE_ATTACH, child, NULL, NULL) == -1 && errno == ESRCH);
  return guest_pass();
}
