// Uses System V objects of one key: sysv ROLE KEY. Says "ready" when it has done its part, then stays; `remove` takes them away and ends.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

static void need(int condition, const char* what) {
  if (condition) return;
  perror(what);
  exit(1);
}

static int operate(int set, short by) {
  struct sembuf operation = {0, by, 0};
  return semop(set, &operation, 1);
}

int main(int count, char** arguments) {
  if (count < 3) return 2;
  const char* role = arguments[1];
  key_t key = (key_t)strtol(arguments[2], NULL, 0);
  struct {
    long type;
    char text[8];
  } message = {1, "word"};
  if (!strcmp(role, "set-make")) {
    int set = semget(key, 1, IPC_CREAT | 0600);
    need(set >= 0 && semctl(set, 0, SETVAL, 0) == 0, "semget");
  } else if (!strcmp(role, "set-find")) {
    int set = semget(key, 1, IPC_CREAT | 0600);
    need(set >= 0 && operate(set, 1) == 0, "semget");
  } else if (!strcmp(role, "set-use")) {
    need(operate(semget(key, 1, 0), 1) == 0, "semop");
  } else if (!strcmp(role, "set-wait")) {
    puts("ready");
    fflush(stdout);
    need(operate(semget(key, 1, 0), -1) == 0, "semop");
  } else if (!strcmp(role, "queue-make")) {
    need(msgget(key, IPC_CREAT | IPC_EXCL | 0600) >= 0, "msgget");
  } else if (!strcmp(role, "queue-find")) {
    need(msgget(key, IPC_CREAT | 0600) >= 0, "msgget");
  } else if (!strcmp(role, "queue-use")) {
    need(msgsnd(msgget(key, 0), &message, sizeof message.text, 0) == 0, "msgsnd");
  } else if (!strcmp(role, "segment-make")) {
    need(shmget(key, 8192, IPC_CREAT | IPC_EXCL | 0600) >= 0, "shmget");
  } else if (!strcmp(role, "segment-find")) {
    need(shmat(shmget(key, 8192, IPC_CREAT | 0600), NULL, 0) != (void*)-1, "shmat");
  } else if (!strcmp(role, "remove")) {
    semctl(semget(key, 1, 0), 0, IPC_RMID);
    msgctl(msgget(key, 0), IPC_RMID, NULL);
    shmctl(shmget(key, 8192, 0), IPC_RMID, NULL);
    return 0;
  } else {
    return 2;
  }
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
