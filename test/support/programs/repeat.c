// Runs a command again and again and prints how long each run took, microseconds: repeat TIMES COMMAND [ARGUMENT...]. All runs must succeed.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char** environ;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int count, char** arguments) {
  if (count < 3) return 2;
  for (int i = atoi(arguments[1]); i > 0; i--) {
    double begin = now();
    pid_t child;
    int status;
    if (posix_spawnp(&child, arguments[2], NULL, NULL, arguments + 2, environ) != 0 || waitpid(child, &status, 0) != child ||
        status != 0)
      return 1;
    printf("%.1f\n", now() - begin);
  }
}
