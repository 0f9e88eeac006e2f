// POSIX shared memory and a named semaphore of two processes: content, names, descriptors, a private view; memory whose name is gone and
// that is open.
// mode: checkpoint
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"

#define BYTES (40 * 4096)

static char* map(int fd, int protection, int flags) {
  char* memory = mmap(NULL, BYTES, protection, flags, fd, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

int main(void) {
  char memory_name[64], semaphore_name[64], passing_name[64], other_name[64];
  snprintf(memory_name, sizeof memory_name, "/stasis-memory-%d", getpid());
  snprintf(semaphore_name, sizeof semaphore_name, "/stasis-semaphore-%d", getpid());
  snprintf(passing_name, sizeof passing_name, "/stasis-passing-%d", getpid());
  snprintf(other_name, sizeof other_name, "/stasis-other-%d", getpid());
  int fd = shm_open(memory_name, O_RDWR | O_CREAT | O_EXCL, 0640);
  CHECK(fd >= 0 && ftruncate(fd, BYTES + 100) == 0 && fchmod(fd, 0640) == 0);
  char* memory = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
  guest_fill(memory, BYTES / 2, 5);
  char* view = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  view[3 * 4096] = 'p';
  CHECK(lseek(fd, 77, SEEK_SET) == 77);

  // Open, and mapped nowhere.
  int other = shm_open(other_name, O_RDWR | O_CREAT | O_EXCL, 0600);
  CHECK(other >= 0 && pwrite(other, "only written", 12, 5000) == 12);

  int passing = shm_open(passing_name, O_RDWR | O_CREAT | O_EXCL, 0600);
  CHECK(passing >= 0 && ftruncate(passing, BYTES) == 0);
  char* gone = map(passing, PROT_READ | PROT_WRITE, MAP_SHARED);
  guest_fill(gone, BYTES, 6);
  CHECK(shm_unlink(passing_name) == 0);

  sem_t* semaphore = sem_open(semaphore_name, O_CREAT | O_EXCL, 0600, 3);
  CHECK(semaphore != SEM_FAILED && sem_wait(semaphore) == 0);
  int up[2];
  CHECK(pipe(up) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  char byte;
  if (child == 0) {
    close(up[1]);
    CHECK(read(up[0], &byte, 1) == 1);
    CHECK(memory[0] == 'Q' && gone[1] == 'G');
    memory[1] = 'R';
    CHECK(sem_post(semaphore) == 0);
    _exit(0);
  }

  guest_checkpoint_here();

  CHECK(guest_filled(memory, BYTES / 2, 5) && guest_zero(memory + BYTES / 2, BYTES / 2));
  CHECK(view[3 * 4096] == 'p' && view[0] == memory[0] && view[7 * 4096] == memory[7 * 4096]);
  CHECK(guest_filled(gone, BYTES, 6) && lseek(fd, 0, SEEK_CUR) == 77);
  struct stat status, named;
  int again = shm_open(memory_name, O_RDONLY, 0);
  CHECK(again >= 0 && fstat(again, &named) == 0 && fstat(fd, &status) == 0);
  CHECK(named.st_ino == status.st_ino && status.st_size == BYTES + 100 && (status.st_mode & 0777) == 0640);
  memory[0] = 'Q';
  CHECK(map(again, PROT_READ, MAP_SHARED)[0] == 'Q');
  char text[12];
  CHECK(pread(other, text, 12, 5000) == 12 && memcmp(text, "only written", 12) == 0 && shm_unlink(other_name) == 0);
  gone[1] = 'G';
  CHECK(pread(passing, text, 1, 1) == 1 && text[0] == 'G');
  CHECK(fstat(passing, &status) == 0 && status.st_nlink == 0);

  int value;
  CHECK(sem_getvalue(semaphore, &value) == 0 && value == 2);
  close(up[0]);
  CHECK(write(up[1], "g", 1) == 1);
  int end;
  CHECK(waitpid(child, &end, 0) == child && end == 0 && memory[1] == 'R');
  CHECK(sem_getvalue(semaphore, &value) == 0 && value == 3);
  sem_t* same = sem_open(semaphore_name, 0);
  CHECK(same != SEM_FAILED && sem_getvalue(same, &value) == 0 && value == 3);
  CHECK(sem_post(same) == 0 && sem_getvalue(semaphore, &value) == 0 && value == 4);
  CHECK(sem_unlink(semaphore_name) == 0 && shm_unlink(memory_name) == 0);
  return guest_pass();
}
