// The floor under any start: vfork, execve of a program of two instructions, its exit and the wait for it. `floor PROGRAM ROUNDS` prints each
// round's microseconds, one per line.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double one_round_us(char* program) {
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  pid_t child = vfork();
  if (child == 0) {
    execve(program, (char*[]){program, NULL}, (char*[]){NULL});
    _exit(127);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) exit(1);
  clock_gettime(CLOCK_MONOTONIC, &end);
  return (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3;
}

int main(int count, char** arguments) {
  if (count != 3) return 2;
  for (int i = 0; i < atoi(arguments[2]); i++) printf("%.1f\n", one_round_us(arguments[1]));
}
