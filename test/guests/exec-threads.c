// Many threads spawn and fork at once, signals arriving all the time; then a thread that is not the first executes a
// program. build: static musl
#include <pthread.h>
#include <spawn.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "guest.h"

extern char** environ;
static char self[512];
static volatile int ticks;

static void on_tick(int signal) {
  (void)signal;
  ticks++;
}

static void* body(void* argument) {
  char* words[] = {"guest", "executed", NULL};
  for (int i = 0; i < 25; i++) {
    pid_t child;
    int status, way = (i + (int)(intptr_t)argument) % 3;
    if (way == 0) {
      CHECK(posix_spawn(&child, self, NULL, NULL, words, environ) == 0);
    } else if (way == 1) {
      CHECK(posix_spawn(&child, "/nonexistent", NULL, NULL, words, environ) == ENOENT);
      continue;
    } else {
      child = fork();
      if (child == 0) {
        execve(self, words, environ);
        _exit(99);
      }
    }
    pid_t waited;
    while ((waited = waitpid(child, &status, 0)) < 0 && errno == EINTR) {
    }
    CHECK(waited == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  }
  return NULL;
}

static void* replace(void* unused) {
  execl(self, "guest", "last", (char*)NULL);
  return unused;
}

int main(int count, char** words) {
  if (count > 1) return strcmp(words[1], "last") == 0 ? guest_pass() : 7;
  CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, body, (void*)(intptr_t)i) == 0);
  for (int i = 0; i < 8; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0 && ticks > 5);
  CHECK(pthread_create(&threads[0], NULL, replace, NULL) == 0);
  pthread_join(threads[0], NULL);
  return 1;
}
