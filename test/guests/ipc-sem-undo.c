// System V semaphores: values, and what is undone at the end of the process that did it.
// mode: checkpoint
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/wait.h>

#include "guest.h"

static int operate(int id, unsigned short number, short by, short flags) {
  struct sembuf operation = {number, by, flags};
  return semop(id, &operation, 1);
}

int main(void) {
  int id = semget(IPC_PRIVATE, 3, 0600), up[2], down[2];
  CHECK(id >= 0 && pipe(up) == 0 && pipe(down) == 0);
  CHECK(semctl(id, 0, SETVAL, 10) == 0 && semctl(id, 1, SETVAL, 20) == 0 && semctl(id, 2, SETVAL, 0) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  char byte = 'c';
  if (child == 0) {
    CHECK(operate(id, 0, -3, SEM_UNDO) == 0);
    CHECK(write(up[1], &byte, 1) == 1);
    CHECK(read(down[0], &byte, 1) == 1);
    _exit(0);
  }
  CHECK(read(up[0], &byte, 1) == 1);
  CHECK(operate(id, 0, -2, SEM_UNDO) == 0 && operate(id, 1, 5, SEM_UNDO) == 0 && operate(id, 2, 4, 0) == 0);

  guest_checkpoint_here();

  CHECK(semctl(id, 0, GETVAL) == 5 && semctl(id, 1, GETVAL) == 25 && semctl(id, 2, GETVAL) == 4);
  CHECK(write(down[1], &byte, 1) == 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(semctl(id, 0, GETVAL) == 8);  // the child's is undone, ours is not
  pid_t taker = fork();
  if (taker == 0) {
    CHECK(operate(id, 1, -25, SEM_UNDO | IPC_NOWAIT) == 0);
    _exit(0);
  }
  CHECK(waitpid(taker, &status, 0) == taker && status == 0 && semctl(id, 1, GETVAL) == 25);
  CHECK(operate(id, 2, -5, IPC_NOWAIT) == -1 && errno == EAGAIN && operate(id, 2, -4, IPC_NOWAIT) == 0);
  CHECK(semctl(id, 0, IPC_RMID) == 0);
  return guest_pass();
}
