// SysV ipc: ids that an exec'd child uses, and the processes that descriptions name.
// build: static musl
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include "guest.h"

union semun {
  int value;
  struct semid_ds* buffer;
  unsigned short* array;
};

struct text {
  long type;
  char text[8];
};

static int run_child(const char* program, int segment, int set, int queue) {
  char words[3][16];
  snprintf(words[0], sizeof words[0], "%d", segment);
  snprintf(words[1], sizeof words[1], "%d", set);
  snprintf(words[2], sizeof words[2], "%d", queue);
  pid_t child = fork();
  if (child == 0) {
    execl(program, program, words[0], words[1], words[2], (char*)NULL);
    _exit(99);
  }
  return child;
}

// The other program: it got the ids in its arguments.
static int use(int segment, int set, int queue) {
  int* shared = shmat(segment, NULL, 0);
  CHECK(shared != (void*)-1 && shared[0] == 42);
  shared[1] = getpid();
  struct text text = {2, "child"};
  CHECK(msgsnd(queue, &text, sizeof text.text, 0) == 0);
  CHECK(msgrcv(queue, &text, sizeof text.text, 1, 0) == sizeof text.text && strcmp(text.text, "parent") == 0);
  struct sembuf up = {0, 1, 0};
  CHECK(semop(set, &up, 1) == 0);
  CHECK(shmdt(shared) == 0);
  return 0;
}

static void remove_all(int segment, int set, int queue) {
  CHECK(shmctl(segment, IPC_RMID, NULL) == 0 && semctl(set, 0, IPC_RMID) == 0 && msgctl(queue, IPC_RMID, NULL) == 0);
  struct shmid_ds description;
  CHECK(shmctl(segment, IPC_STAT, &description) == -1 && (errno == EINVAL || errno == EIDRM));
  CHECK(semctl(set, 0, GETVAL) == -1 && (errno == EINVAL || errno == EIDRM));
  CHECK(msgsnd(queue, &(struct text){1, ""}, 0, 0) == -1 && (errno == EINVAL || errno == EIDRM));
}

// By index every object of the system is found, ours under our id.
static void listing(int segment, int set, int queue) {
  struct shmid_ds description;
  struct semid_ds semaphores;
  struct msqid_ds messages;
  struct shminfo limits;
  int found = 0, last = shmctl(0, IPC_INFO, (void*)&limits);
  CHECK(last >= 0);
  for (int i = 0; i <= last; i++) found += shmctl(i, SHM_STAT, &description) == segment;
  CHECK(found == 1);
  struct seminfo semaphore_limits;
  last = semctl(0, 0, SEM_INFO, &semaphore_limits);
  for (int i = found = 0; i <= last; i++) found += semctl(i, 0, SEM_STAT, (union semun){.buffer = &semaphores}) == set;
  CHECK(found == 1);
  struct msginfo message_limits;
  last = msgctl(0, MSG_INFO, (void*)&message_limits);
  for (int i = found = 0; i <= last; i++) found += msgctl(i, MSG_STAT, &messages) == queue;
  CHECK(found == 1);
}

int main(int count, char** words) {
  if (count == 4) return use(atoi(words[1]), atoi(words[2]), atoi(words[3]));
  key_t key = (key_t)(0x57000000 ^ getpid());
  int segment = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), set = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
  int queue = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
  CHECK(segment >= 0 && set >= 0 && queue >= 0 && msgget(key, 0) == queue);
  const char* shift = getenv("GUEST_SHIFT");
  if (shift) CHECK(segment >= atoi(shift) && set >= atoi(shift) && queue >= atoi(shift));
  int* shared = shmat(segment, NULL, 0);
  CHECK(shared != (void*)-1);
  shared[0] = 42;
  CHECK(semctl(set, 0, SETVAL, (union semun){.value = 0}) == 0 && semctl(set, 0, GETPID) == getpid());

  pid_t child = run_child("/proc/self/exe", segment, set, queue);
  struct text text;
  CHECK(msgrcv(queue, &text, sizeof text.text, 2, 0) == sizeof text.text && strcmp(text.text, "child") == 0);
  text = (struct text){1, "parent"};
  CHECK(msgsnd(queue, &text, sizeof text.text, 0) == 0);
  struct sembuf down = {0, -1, 0};
  CHECK(semop(set, &down, 1) == 0);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0 && shared[1] == child);

  struct shmid_ds description;
  CHECK(shmctl(segment, IPC_STAT, &description) == 0 && description.shm_segsz == 4096 && description.shm_nattch == 1);
  CHECK(description.shm_cpid == getpid() && description.shm_lpid == child);
  struct msqid_ds messages;
  CHECK(msgctl(queue, IPC_STAT, &messages) == 0 && messages.msg_qnum == 0);
  CHECK(messages.msg_lspid == getpid() && messages.msg_lrpid == child);
  CHECK(semctl(set, 0, GETPID) == getpid());
  CHECK(syscall(SYS_shmctl, segment, IPC_STAT, 1L) == -1 && errno == EFAULT);
  struct timespec short_time = {0, 20000000};
  CHECK(semtimedop(set, &down, 1, &short_time) == -1 && errno == EAGAIN);
  listing(segment, set, queue);

  CHECK(shmat(0x7ffffff0, NULL, 0) == (void*)-1 && errno == EINVAL);
  CHECK(semop(0x7ffffff0, &down, 1) == -1 && errno == EINVAL);
  CHECK(msgrcv(-1, &text, 0, 0, 0) == -1 && errno == EINVAL);
  CHECK(shmdt(shared) == 0);
  remove_all(segment, set, queue);
  return guest_pass();
}
