// A process that starts others with vfork(2) all the time, and one of them takes long: a parent in that call cannot be
// stopped, so a checkpoint waits for a moment between two.
// mode: checkpoint
#include <pthread.h>
#include <sys/wait.h>

#include "guest.h"

static volatile int stop;
static volatile unsigned started;

static void one(int milliseconds) {
  pid_t child = vfork();
  CHECK(child >= 0);
  if (child == 0) {
    struct timespec time = {0, milliseconds * 1000000L};
    syscall(SYS_nanosleep, &time, NULL);
    _exit(7);
  }
  int status = -1;
  pid_t waited;
  while ((waited = waitpid(child, &status, 0)) < 0 && errno == EINTR) {
  }
  CHECK(waited == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  started++;
}

static void* starting(void* unused) {
  while (!stop) {
    one((int)(started % 8));
    guest_sleep_ms(3);
  }
  return unused;
}

int main(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, starting, NULL) == 0);
  while (started < 10) guest_sleep_ms(1);

  guest_checkpoint_here();

  unsigned before = started;
  while (started < before + 10) guest_sleep_ms(1);
  stop = 1;
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
  return guest_pass();
}
