// What waits say about children: wait4 and waitid in all their forms, also while signals interrupt them without end.
// build: static musl
#include <sys/resource.h>
#include <sys/time.h>

#include "ids.h"

#define PIDFD 3  // P_PIDFD

static volatile sig_atomic_t ticks;

static void on_tick(int signal) {
  (void)signal;
  ticks++;
}

static pid_t ending_child(int code) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) _exit(code);
  CHECK_ID(child);
  return child;
}

static void forms(void) {
  int status;
  struct rusage usage;
  siginfo_t info;
  pid_t child = ending_child(3);
  CHECK(waitpid(-1, &status, 0) == child && WEXITSTATUS(status) == 3);
  child = ending_child(4);
  CHECK(waitpid(0, &status, 0) == child && WEXITSTATUS(status) == 4);
  child = ending_child(5);
  CHECK(wait4(child, NULL, 0, &usage) == child);
  CHECK(waitpid(child, &status, 0) == -1 && errno == ECHILD);
  child = ending_child(6);
  CHECK(waitpid(-getpgrp(), &status, 0) == child && WEXITSTATUS(status) == 6);

  child = ending_child(7);
  CHECK(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0 && info.si_pid == child && info.si_status == 7);
  CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0 && info.si_pid == child &&
        info.si_code == CLD_EXITED);
  CHECK(kill(child, 0) == 0);
  CHECK(waitid(P_PGID, (id_t)getpgrp(), &info, WEXITED) == 0 && info.si_pid == child && info.si_signo == SIGCHLD);
  CHECK(kill(child, 0) == -1 && errno == ESRCH);
  child = ending_child(8);
  int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
  CHECK(pidfd >= 0 && waitid((idtype_t)PIDFD, (id_t)pidfd, &info, WEXITED) == 0 && info.si_pid == child);
  close(pidfd);
  child = ending_child(9);
  CHECK(syscall(SYS_waitid, P_PID, child, NULL, WEXITED, NULL) == 0);
  CHECK(syscall(SYS_waitid, P_PID, child, &info, WEXITED, NULL) == -1 && errno == ECHILD);
  child = ending_child(10);
  memset(&info, 0, sizeof info);
  CHECK(syscall(SYS_waitid, P_PID, child, &info, WEXITED, &usage) == 0 && info.si_pid == child);
}

static void stops(void) {
  int status;
  siginfo_t info;
  pid_t child = guest_waiting_child();
  info.si_pid = -1;
  CHECK(waitpid(child, &status, WNOHANG) == 0);
  CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0);
  CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
  CHECK(kill(child, SIGCONT) == 0 && waitid(P_PID, (id_t)child, &info, WCONTINUED) == 0);
  CHECK(info.si_pid == child && info.si_code == CLD_CONTINUED);
  CHECK(kill(child, SIGSTOP) == 0 && waitid(P_ALL, 0, &info, WSTOPPED) == 0 && info.si_pid == child);
  guest_end_child(child);
}

static void errors(void) {
  int status;
  siginfo_t info;
  pid_t ended = guest_ended_pid();
  CHECK(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
  CHECK(waitpid(ended, &status, 0) == -1 && errno == ECHILD);
  CHECK(waitpid(getpid(), &status, 0) == -1 && errno == ECHILD);
  CHECK(waitid(P_PID, (id_t)ended, &info, WEXITED) == -1 && errno == ECHILD);
  CHECK(waitid(P_PID, 0, &info, WEXITED) == -1 && errno == EINVAL);
  pid_t child = ending_child(1);
  CHECK(waitpid(child, &status, 0x7f000000) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_wait4, child, (int*)8, 0, NULL) == -1 && errno == EFAULT);  // reaped all the same
  CHECK(waitpid(child, &status, 0) == -1 && errno == ECHILD);
  child = ending_child(1);
  CHECK(syscall(SYS_waitid, P_PID, child, (void*)8, WEXITED, NULL) == -1 && errno == EFAULT);
}

// A result on its way to the program when a signal arrives: each of them must be the child that was born.
static void interrupted(int flags) {
  struct sigaction action = {.sa_handler = on_tick, .sa_flags = flags};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
  ticks = 0;
  CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
  for (int i = 0; i < 300; i++) {
    pid_t child, got;
    while ((child = fork()) < 0) CHECK(errno == EINTR);
    if (child == 0) {
      struct timespec moment = {0, (i % 8) * 250000L};
      nanosleep(&moment, NULL);
      _exit(i & 127);
    }
    CHECK_ID(child);
    int status = -1;
    siginfo_t info = {0};
    if (i % 2) {
      while ((got = waitpid(i % 4 == 1 ? -1 : child, &status, 0)) < 0) CHECK(errno == EINTR && !(flags & SA_RESTART));
      CHECK(got == child && WEXITSTATUS(status) == (i & 127));
    } else {
      while (waitid(P_ALL, 0, &info, WEXITED) < 0) CHECK(errno == EINTR && !(flags & SA_RESTART));
      CHECK(info.si_pid == child && info.si_status == (i & 127));
    }
    CHECK(waitpid(child, &status, WNOHANG) == -1 && errno == ECHILD);
  }
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
  CHECK(ticks > 0);
}

// The end of a child wakes the wait and runs a handler before the wait returns.
static void announced(int flags) {
  struct sigaction action = {.sa_handler = on_tick, .sa_flags = flags};
  CHECK(sigaction(SIGCHLD, &action, NULL) == 0);
  ticks = 0;
  for (int i = 0; i < 100; i++) {
    pid_t child = fork(), got;
    if (child == 0) {
      struct timespec moment = {0, 1000000};
      nanosleep(&moment, NULL);
      _exit(i);
    }
    int status = -1;
    siginfo_t info = {0};
    if (i % 2) {
      while ((got = waitpid(-1, &status, 0)) < 0) CHECK(errno == EINTR);
      CHECK(got == child && WEXITSTATUS(status) == i);
    } else {
      while (waitid(P_PGID, 0, &info, WEXITED) < 0) CHECK(errno == EINTR);
      CHECK(info.si_pid == child && info.si_status == i);
    }
  }
  CHECK(ticks > 0);
  CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
}

int main(void) {
  forms();
  stops();
  errors();
  interrupted(SA_RESTART);
  interrupted(0);
  interrupted(SA_RESTART | SA_SIGINFO);
  announced(0);
  announced(SA_RESTART);
  return guest_pass();
}
