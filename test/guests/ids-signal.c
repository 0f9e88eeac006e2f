// Who sent a signal: siginfo in handlers and in sigwaitinfo; and to whom signals go.
// build: static musl
#include <pthread.h>

#include "ids.h"

static volatile sig_atomic_t received, sender, code;

static void on_info(int signal, siginfo_t* info, void* context) {
  (void)context;
  CHECK(info->si_signo == signal);
  code = info->si_code;
  sender = info->si_pid;
  received++;
}

static void on_plain(int signal) {
  (void)signal;
  received++;
}

static void set_handler(int signal, int flags) {
  struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO | flags}, old;
  CHECK(sigaction(signal, &action, NULL) == 0);
  CHECK(sigaction(signal, NULL, &old) == 0 && old.sa_sigaction == on_info && (old.sa_flags & SA_SIGINFO) != 0);
}

// What a signal to oneself leaves: it has been handled before the call returns.
static void expect(int from, int with_code) {
  CHECK(received == 1 && sender == from && code == with_code);
  received = 0;
  sender = code = -1;
}

static void to_itself(void) {
  pid_t self = getpid();
  union sigval value = {.sival_int = 5};
  siginfo_t info = {0};
  received = 0;
  set_handler(SIGUSR1, 0);
  CHECK(kill(self, SIGUSR1) == 0);
  expect(self, SI_USER);
  CHECK(raise(SIGUSR1) == 0);
  expect(self, SI_TKILL);
  CHECK(syscall(SYS_tkill, self, SIGUSR1) == 0);
  expect(self, SI_TKILL);
  CHECK(sigqueue(self, SIGUSR1, value) == 0);
  expect(self, SI_QUEUE);
  CHECK(kill(0, 0) == 0);
  info.si_code = SI_QUEUE;
  info.si_pid = self;
  CHECK(syscall(SYS_rt_tgsigqueueinfo, self, self, SIGUSR1, &info) == 0);
  expect(self, SI_QUEUE);
  int pidfd = (int)syscall(SYS_pidfd_open, self, 0);
  info.si_signo = SIGUSR1;
  CHECK(syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, &info, 0) == 0);
  expect(self, SI_QUEUE);
  CHECK(syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, NULL, 0) == 0);
  expect(self, SI_USER);
  close(pidfd);
  // Handlers with and without siginfo, one after the other.
  struct sigaction plain = {.sa_handler = on_plain}, old;
  CHECK(sigaction(SIGUSR1, &plain, &old) == 0 && old.sa_sigaction == on_info);
  CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == on_plain && (old.sa_flags & SA_SIGINFO) == 0);
  CHECK(raise(SIGUSR1) == 0 && received == 1);
  received = 0;
  set_handler(SIGUSR1, SA_RESETHAND);
  CHECK(raise(SIGUSR1) == 0);
  expect(self, SI_TKILL);
  CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
}

static void from_children(void) {
  set_handler(SIGCHLD, SA_RESTART);
  set_handler(SIGUSR1, SA_RESTART);
  sigset_t chld, old;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  sigaddset(&chld, SIGUSR1);
  CHECK(sigprocmask(SIG_BLOCK, &chld, &old) == 0);
  received = 0;
  pid_t self = getpid(), child = fork();
  if (child == 0) _exit(kill(self, SIGUSR1) == 0 ? 0 : 1);
  while (received == 0) sigsuspend(&old);
  // SIGUSR1 was first; both may have come in one wait.
  while (received < 2) sigsuspend(&old);
  CHECK(sender == child && (code == CLD_EXITED || code == SI_USER));
  CHECK(waitpid(child, NULL, 0) == child);
  // A signal that outlives its sender.
  received = 0;
  child = fork();
  if (child == 0) _exit(0);
  CHECK(waitpid(child, NULL, 0) == child);
  CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
  CHECK(received == 1 && sender == child && code == CLD_EXITED);
  signal(SIGCHLD, SIG_DFL);
}

static volatile pid_t thread_id;

static void* receive(void* unused) {
  (void)unused;
  thread_id = (pid_t)syscall(SYS_gettid);
  while (received == 0) guest_sleep_ms(1);
  return NULL;
}

static void to_threads(void) {
  set_handler(SIGUSR1, SA_RESTART);
  received = 0;
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, receive, NULL) == 0);
  while (thread_id == 0) guest_sleep_ms(1);
  CHECK_ID(thread_id);
  CHECK(thread_id != getpid());
  CHECK(pthread_kill(thread, 0) == 0 && syscall(SYS_tgkill, getpid(), thread_id, 0) == 0);
  CHECK(syscall(SYS_tgkill, getpid() + 1, thread_id, 0) == -1 && errno == ESRCH);
  CHECK(pthread_kill(thread, SIGUSR1) == 0 && pthread_join(thread, NULL) == 0);
  expect(getpid(), SI_TKILL);
}

static void waited(void) {
  pid_t self = getpid();
  sigset_t set;
  siginfo_t info;
  struct timespec moment = {0, 1000000};
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  CHECK(kill(self, SIGUSR2) == 0 && sigwaitinfo(&set, &info) == SIGUSR2);
  CHECK(info.si_pid == self && info.si_code == SI_USER && info.si_signo == SIGUSR2);
  CHECK(kill(self, SIGUSR2) == 0 && sigwaitinfo(&set, NULL) == SIGUSR2);
  CHECK(sigtimedwait(&set, &info, &moment) == -1 && errno == EAGAIN);
  pid_t child = fork();
  if (child == 0) {
    union sigval value = {.sival_int = 77};
    _exit(sigqueue(self, SIGUSR2, value) == 0 ? 0 : 1);
  }
  CHECK(sigwaitinfo(&set, &info) == SIGUSR2 && info.si_pid == child && info.si_code == SI_QUEUE);
  CHECK(info.si_value.sival_int == 77 && waitpid(child, NULL, 0) == child);
}

// Without Stasis -1 would mean the whole system.
static void everybody(void) {
  if (guest_shift() == 0) return;
  pid_t one = guest_waiting_child(), two = guest_waiting_child();
  int status;
  CHECK(kill(-1, 0) == 0 && kill(-1, 999) == -1 && errno == EINVAL);
  CHECK(kill(-1, SIGTERM) == 0);
  CHECK(waitpid(one, &status, 0) == one && WTERMSIG(status) == SIGTERM);
  CHECK(waitpid(two, &status, 0) == two && WTERMSIG(status) == SIGTERM);
}

static void errors(void) {
  pid_t ended = guest_ended_pid(), self = getpid();
  siginfo_t info = {0};
  info.si_code = SI_QUEUE;
  CHECK(kill(ended, 0) == -1 && errno == ESRCH);
  CHECK(kill(-ended, 0) == -1 && errno == ESRCH);
  CHECK(kill(self, 65) == -1 && errno == EINVAL);
  CHECK(kill(INT32_MIN, 0) == -1 && errno == ESRCH);
  CHECK(syscall(SYS_tkill, 0, 0) == -1 && errno == EINVAL && syscall(SYS_tkill, -1, 0) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_tkill, ended, 0) == -1 && errno == ESRCH);
  CHECK(syscall(SYS_tgkill, self, ended, 0) == -1 && errno == ESRCH);
  CHECK(syscall(SYS_rt_sigqueueinfo, ended, SIGUSR1, &info) == -1 && errno == ESRCH);
  CHECK(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, (void*)8) == -1 && errno == EFAULT);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK(kill(self, SIGUSR2) == 0);
  CHECK(syscall(SYS_rt_sigtimedwait, &set, (void*)8, NULL, 8L) == -1 &&
        errno == EFAULT);  // the signal is taken all the same
  CHECK(syscall(SYS_rt_sigtimedwait, (void*)8, NULL, NULL, 8L) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 4L) == -1 && errno == EINVAL);
}

int main(void) {
  to_itself();
  from_children();
  to_threads();
  waited();
  everybody();
  errors();
  return guest_pass();
}
