// Bad pointers give EFAULT and no harm, also those whose low half is zero; calls that may not touch them do not.
// build: static musl
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "guest.h"

static int refused(long result) { return result == -1 && errno == EFAULT; }

static char* page;  // with nothing behind it

static void try_pointer(void* bad) {
  sigset_t none;
  sigemptyset(&none);
  char action[32] = {0};
  struct timespec soon = {0, 1000};
  struct epoll_event event;
  static int set = -1;
  if (set < 0) set = epoll_create1(0);
  CHECK(refused(syscall(SYS_rt_sigaction, SIGUSR1, bad, NULL, 8)));
  CHECK(refused(syscall(SYS_rt_sigaction, SIGUSR1, NULL, bad, 8)));
  CHECK(refused(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad, NULL, 8)));
  CHECK(refused(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, bad, NULL, 8)));
  CHECK(refused(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &none, bad, 8)));
  CHECK(refused(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, bad, 8)));
  CHECK(refused(syscall(SYS_rt_sigsuspend, bad, 8)));
  CHECK(refused(syscall(SYS_ppoll, NULL, 0, &soon, bad, 8)));
  CHECK(refused(syscall(SYS_ppoll, NULL, 0, bad, &none, 8)));
  CHECK(refused(syscall(SYS_ppoll, bad, 1, &soon, &none, 8)));
  CHECK(refused(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &soon, bad)));
  struct {
    void* mask;
    size_t bytes;
  } argument = {bad, 8};
  CHECK(refused(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &soon, &argument)));
  argument.mask = NULL;
  CHECK(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &soon, &argument) == 0);
  CHECK(refused(syscall(SYS_epoll_pwait, set, &event, 1, 0, bad, 8)));
  CHECK(refused(syscall(441, set, &event, 1, &soon, bad, 8)));
  memset(page, '/', 4096);  // a path that does not end, if results of the calls above ended it
  CHECK(refused(syscall(SYS_readlink, bad, action, sizeof action)));
  CHECK(refused(syscall(SYS_readlink, "/proc/self/exe", bad, 100)));
  CHECK(refused(syscall(SYS_execve, bad, NULL, NULL)));
  CHECK(refused(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, bad)));
  CHECK(refused(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, bad, NULL)));
  int word = 0;
  CHECK(refused(syscall(SYS_futex, &word, 9, 0, bad, NULL, -1)));  // FUTEX_WAIT_BITSET
}

int main(void) {
  page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED && mprotect(page + 4096, 4096, PROT_NONE) == 0);
  try_pointer((void*)8);
  try_pointer((void*)-8);
  try_pointer((void*)0x700000000000);  // low half zero, nothing there
  try_pointer(page + 4096);
  try_pointer(page + 4096 - 4);  // across the border
  struct sigaction old;
  CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
  return guest_pass();
}
