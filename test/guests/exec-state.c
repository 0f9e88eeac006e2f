// What an exec keeps: pid, mask, ignored and pending signals, working directory, umask, fds without close-on-exec,
// nothing else. build: static musl
#include <sys/stat.h>

#include "guest.h"

static void on_signal(int signal) { (void)signal; }

static int executed(char** words) {
  CHECK(atoi(words[1]) == getpid());
  sigset_t mask, pending;
  CHECK(sigprocmask(SIG_SETMASK, NULL, &mask) == 0 && sigpending(&pending) == 0);
  for (int signal = 1; signal < 32; signal++) {
    if (signal == SIGKILL || signal == SIGSTOP || signal == SIGSYS) continue;
    CHECK(sigismember(&mask, signal) == (signal == SIGUSR1 || signal == SIGTERM));
    CHECK(sigismember(&pending, signal) == (signal == SIGUSR1));
    struct sigaction action;
    CHECK(sigaction(signal, NULL, &action) == 0);
    CHECK(action.sa_handler == (signal == SIGHUP || signal == SIGQUIT ? SIG_IGN : SIG_DFL));
  }
  char directory[256], byte;
  CHECK(getcwd(directory, sizeof directory) && strcmp(directory, "/usr") == 0 && umask(0) == 0123);
  CHECK(fcntl(20, F_GETFD) == 0 && fcntl(21, F_GETFD) == -1 && read(20, &byte, 1) == 1 && byte == 'x');
  CHECK(strcmp(getenv("KEPT"), "value") == 0);
  return guest_pass();
}

int main(int count, char** words) {
  if (count > 1) return executed(words);
  char self[512] = "", pid[24];
  CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  // Inherited actions of the test's environment do not matter.
  for (int signal = 1; signal < 32; signal++)
    if (signal != SIGKILL && signal != SIGSTOP) sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
  CHECK(signal(SIGHUP, SIG_IGN) != SIG_ERR && signal(SIGQUIT, SIG_IGN) != SIG_ERR &&
        signal(SIGINT, on_signal) != SIG_ERR);
  sigset_t block;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  sigaddset(&block, SIGTERM);
  CHECK(sigprocmask(SIG_SETMASK, &block, NULL) == 0 && raise(SIGUSR1) == 0);
  int ends[2];
  CHECK(pipe(ends) == 0 && dup2(ends[0], 20) == 20 && dup3(ends[1], 21, O_CLOEXEC) == 21 && write(21, "x", 1) == 1);
  CHECK(chdir("/usr") == 0 && setenv("KEPT", "value", 1) == 0);
  umask(0123);
  snprintf(pid, sizeof pid, "%d", getpid());
  execl(self, "guest", pid, (char*)NULL);
  return 1;
}
