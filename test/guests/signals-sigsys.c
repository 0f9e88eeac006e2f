// SIGSYS belongs to the program: its handler, a filter of its own that traps, and the default action.
// build: static
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "guest.h"

static volatile int handled;
static sigjmp_buf home;

static void on_sigsys(int signal, siginfo_t* info, void* context) {
  CHECK(signal == SIGSYS);
  handled++;
  if (info->si_code == 1) {  // SYS_SECCOMP: the program's own filter
    CHECK(info->si_syscall == SYS_getpriority && info->si_errno == 7);
    ((ucontext_t*)context)->uc_mcontext.gregs[REG_RAX] = 99;
  }
}

static void on_jump(int signal) {
  handled++;
  siglongjmp(home, signal);
}

int main(void) {
  struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO}, old;
  sigaddset(&action.sa_mask, SIGUSR1);
  CHECK(sigaction(SIGSYS, &action, &old) == 0 && old.sa_handler == SIG_DFL);
  CHECK(sigaction(SIGSYS, NULL, &old) == 0 && old.sa_sigaction == on_sigsys && sigismember(&old.sa_mask, SIGUSR1) == 1);
  raise(SIGSYS);
  CHECK(handled == 1 && kill(getpid(), SIGSYS) == 0 && handled == 2);

  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP | 7),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {4, code};
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
  CHECK(syscall(SYS_getpriority, 0, 0) == 99 && handled == 3);

  signal(SIGSYS, on_jump);
  sigset_t none;
  sigemptyset(&none);
  if (sigsetjmp(home, 1) == 0) {
    pid_t child = fork();
    if (child == 0) {
      guest_sleep_ms(30);
      kill(getppid(), SIGSYS);
      _exit(0);
    }
    ppoll(NULL, 0, NULL, &none);
    CHECK(!"came back");
  }
  CHECK(handled == 4);
  while (wait(NULL) < 0 && errno == EINTR) {
  }
  signal(SIGSYS, SIG_IGN);
  raise(SIGSYS);
  pid_t child = fork();
  if (child == 0) {
    signal(SIGSYS, SIG_DFL);
    raise(SIGSYS);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
  return guest_pass();
}
