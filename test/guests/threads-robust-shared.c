// A robust mutex in memory shared with a child, which ends holding it after the checkpoint.
// mode: checkpoint
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

struct shared {
  pthread_mutex_t mutex;
  int value;
};

int main(void) {
  struct shared* shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t attributes;
  CHECK(shared != MAP_FAILED && pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
  CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_mutex_init(&shared->mutex, &attributes) == 0);
  int up[2], down[2];
  char byte = 'x';
  CHECK(pipe(up) == 0 && pipe(down) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(pthread_mutex_lock(&shared->mutex) == 0);
    shared->value = 41;
    CHECK(write(up[1], &byte, 1) == 1 && read(down[0], &byte, 1) == 1);
    shared->value = 42;
    _exit(0);
  }
  CHECK(read(up[0], &byte, 1) == 1 && pthread_mutex_trylock(&shared->mutex) == EBUSY);
  guest_checkpoint_here();
  CHECK(pthread_mutex_trylock(&shared->mutex) == EBUSY && shared->value == 41);
  CHECK(write(down[1], &byte, 1) == 1);
  CHECK(pthread_mutex_lock(&shared->mutex) == EOWNERDEAD && shared->value == 42);
  CHECK(pthread_mutex_consistent(&shared->mutex) == 0 && pthread_mutex_unlock(&shared->mutex) == 0);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  return guest_pass();
}
