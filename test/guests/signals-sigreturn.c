// What a handler writes into its ucontext takes effect: mask and registers.
// build: static musl
#include <ucontext.h>

#include "guest.h"

static volatile int handled;

static void on_mask(int signal, siginfo_t* info, void* context) {
  ucontext_t* interrupted = (ucontext_t*)context;
  CHECK(signal == SIGUSR1 && info->si_signo == SIGUSR1 && info->si_pid == getpid());
  CHECK(sigismember(&interrupted->uc_sigmask, SIGUSR2) == 0);
  sigaddset(&interrupted->uc_sigmask, SIGUSR2);
  sigaddset(&interrupted->uc_sigmask, SIGSYS);
  handled++;
}

static void on_trap(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  ((ucontext_t*)context)->uc_mcontext.gregs[REG_RAX] = 4711;
  ((ucontext_t*)context)->uc_mcontext.gregs[REG_R12] = 42;
}

static void on_value(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  CHECK(info->si_code == SI_QUEUE && info->si_value.sival_int == 77);
  handled++;
}

int main(void) {
  struct sigaction action = {.sa_sigaction = on_mask, .sa_flags = SA_SIGINFO};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  raise(SIGUSR1);
  sigset_t now;
  CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR2) == 1);
  char link[64];
  CHECK(readlink("/proc/self/exe", link, sizeof link) > 0);

  action.sa_sigaction = on_trap;
  CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
  long rax = 1, r12 = 2;
  __asm__ volatile("mov %[in], %%r12\n int3\n mov %%r12, %[out]\n"
                   : "+a"(rax), [out] "=r"(r12)
                   : [in] "r"(r12)
                   : "r12", "memory");
  CHECK(rax == 4711 && r12 == 42);

  action.sa_sigaction = on_value;
  CHECK(sigaction(SIGRTMIN + 3, &action, NULL) == 0);
  CHECK(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 77}) == 0 && handled == 2);
  return guest_pass();
}
