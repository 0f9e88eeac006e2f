// posix_spawn, vfork, system and popen: results, masks, default actions and errors; what the parent had is untouched.
// build: static musl
#include <spawn.h>
#include <sys/wait.h>

#include "guest.h"

extern char** environ;
static volatile int handled;
static void on_signal(int signal) {
  (void)signal;
  handled++;
}

static int ended(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void spawn(void) {
  char* words[] = {"sh", "-c", "exit 5", NULL};
  pid_t child;
  CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, words, environ) == 0 && ended(child) == 5);
  CHECK(posix_spawnp(&child, "sh", NULL, NULL, words, environ) == 0 && ended(child) == 5);
  CHECK(posix_spawn(&child, "/nonexistent/program", NULL, NULL, words, environ) == ENOENT);
  CHECK(posix_spawn(&child, "/etc/passwd", NULL, NULL, words, environ) == EACCES);

  // Blocked and ignored in the parent, as asked for in the child: kill -l would not do, so the shell looks in /proc.
  posix_spawnattr_t attributes;
  sigset_t mask, defaults;
  posix_spawnattr_init(&attributes);
  sigemptyset(&mask);
  sigaddset(&mask, SIGHUP);
  sigfillset(&defaults);
  posix_spawnattr_setsigmask(&attributes, &mask);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  char* look[] = {"grep", "-q", "^SigBlk:\t0000000000000001$", "/proc/self/status", NULL};
  CHECK(posix_spawnp(&child, "grep", NULL, &attributes, look, environ) == 0 && ended(child) == 0);
  look[2] = "^SigIgn:\t........[08]0000000$";
  CHECK(posix_spawnp(&child, "grep", NULL, &attributes, look, environ) == 0 && ended(child) == 0);
  look[2] = "^SigIgn:\t........[08]0001000$";  // SIGPIPE, ignored by main
  CHECK(posix_spawnp(&child, "grep", NULL, NULL, look, environ) == 0 && ended(child) == 0);
  look[2] = "^SigBlk:\t0000000000000200$";  // SIGUSR1, blocked by main
  CHECK(posix_spawnp(&child, "grep", NULL, NULL, look, environ) == 0 && ended(child) == 0);
}

static void borrow(void) {
  volatile int shared = 0;
  pid_t child = vfork();
  if (child == 0) {
    shared = 7;
    execl("/nonexistent", "x", (char*)NULL);
    if (errno != ENOENT) _exit(99);
    execl("/bin/sh", "sh", "-c", "exit 6", (char*)NULL);
    _exit(98);
  }
  CHECK(ended(child) == 6 && shared == 7);
}

static void library(void) {
  CHECK(WEXITSTATUS(system("exit 9")) == 9);
  char line[64] = "";
  FILE* stream = popen("echo one two | tr a-z A-Z", "r");
  CHECK(stream && fgets(line, sizeof line, stream) && strcmp(line, "ONE TWO\n") == 0 && pclose(stream) == 0);
}

int main(void) {
  signal(SIGUSR2, on_signal);
  signal(SIGPIPE, SIG_IGN);
  sigset_t block, now;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  CHECK(sigprocmask(SIG_SETMASK, &block, NULL) == 0);
  for (int round = 0; round < 3; round++) {
    spawn();
    borrow();
    library();
  }
  CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 1 && sigismember(&now, SIGHUP) == 0);
  raise(SIGUSR2);
  struct sigaction old;
  CHECK(handled == 1 && sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_IGN);
  return guest_pass();
}
