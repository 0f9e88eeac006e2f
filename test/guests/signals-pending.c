// Blocked signals that are pending, with their queued values, for the process and for single threads; masks; ignored signals.
// mode: checkpoint
// build: static
#include <pthread.h>

#include "guest.h"

static int got[64], values[64], count, wake[2];
static __thread int got_here;

static void on_signal(int signal, siginfo_t* info, void* unused) {
  (void)unused;
  got_here++;
  int slot = __atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST);
  got[slot] = signal;
  values[slot] = info->si_value.sival_int;
  CHECK(info->si_code == SI_QUEUE || info->si_code == SI_USER || info->si_code == SI_TKILL);
}

static void* thread_body(void* unused) {
  char byte;
  CHECK(read(wake[0], &byte, 1) == 1);
  sigset_t pending, mask;
  CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGRTMIN + 3) &&
        pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
  CHECK(sigismember(&mask, SIGRTMIN + 3) && sigismember(&mask, SIGTERM) && !sigismember(&mask, SIGHUP));
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGRTMIN + 3);
  CHECK(pthread_sigmask(SIG_UNBLOCK, &one, NULL) == 0 && got_here == 1);
  return unused;
}

int main(void) {
  sigset_t blocked, mask;
  sigemptyset(&blocked);
  int signals[] = {SIGUSR1, SIGTERM, SIGRTMIN, SIGRTMIN + 1, SIGRTMIN + 3};
  for (int i = 0; i < 5; i++) {
    sigaddset(&blocked, signals[i]);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaddset(&action.sa_mask, SIGALRM);
    CHECK(sigaction(signals[i], &action, NULL) == 0);
  }
  signal(SIGHUP, SIG_IGN);
  CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0 && pipe(wake) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, thread_body, NULL) == 0);
  CHECK(pthread_kill(thread, SIGRTMIN + 3) == 0);
  CHECK(kill(getpid(), SIGUSR1) == 0);
  for (int i = 0; i < 5; i++) CHECK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 100 + i}) == 0);
  CHECK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = -7}) == 0);

  guest_checkpoint_here();

  CHECK(count == 0);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0);
  for (int s = 1; s <= SIGRTMAX; s++)
    if (s != 32 && s != 33) CHECK(sigismember(&mask, s) == sigismember(&blocked, s));
  struct sigaction action;
  CHECK(sigaction(SIGTERM, NULL, &action) == 0 && action.sa_sigaction == on_signal &&
        sigismember(&action.sa_mask, SIGALRM));
  CHECK(action.sa_flags & SA_RESTART && sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
  CHECK(kill(getpid(), SIGHUP) == 0);
  CHECK(write(wake[1], "x", 1) == 1 && pthread_join(thread, NULL) == 0 && count == 1);
  sigdelset(&blocked, SIGTERM);
  CHECK(sigprocmask(SIG_UNBLOCK, &blocked, NULL) == 0);
  CHECK(count == 8 && got_here == 7);
  int next = 0, user = 0, negative = 0;
  for (int i = 1; i < count; i++) {
    if (got[i] == SIGRTMIN) CHECK(values[i] == 100 + next++);
    user += got[i] == SIGUSR1;
    negative += got[i] == SIGRTMIN + 1 && values[i] == -7;
  }
  CHECK(next == 5 && user == 1 && negative == 1);
  return guest_pass();
}
