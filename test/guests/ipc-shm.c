// System V shared memory: attached with content, by a key and private; removed while it is attached; attached read-only; two places.
// mode: checkpoint
#include <sys/ipc.h>
#include <sys/shm.h>

#include "guest.h"

#define BYTES (64 * 4096)

int main(void) {
  key_t key = (key_t)(0x51000000 | (getpid() & 0xffffff));
  int named = shmget(key, BYTES, IPC_CREAT | IPC_EXCL | 0640), unnamed = shmget(IPC_PRIVATE, BYTES, 0600);
  int removed = shmget(IPC_PRIVATE, 5 * 4096 + 10, 0600);
  CHECK(named >= 0 && unnamed >= 0 && removed >= 0);
  char* a = shmat(named, NULL, 0);
  char* b = shmat(unnamed, NULL, 0);
  char* again = shmat(unnamed, NULL, SHM_RDONLY);
  char* c = shmat(removed, NULL, 0);
  CHECK(a != (void*)-1 && b != (void*)-1 && again != (void*)-1 && c != (void*)-1);
  CHECK(shmctl(removed, IPC_RMID, NULL) == 0);
  guest_fill(a, BYTES / 2, 1);
  guest_fill(b, BYTES, 2);
  guest_fill(c, 5 * 4096 + 10, 3);

  guest_checkpoint_here();

  CHECK(guest_filled(a, BYTES / 2, 1) && guest_zero(a + BYTES / 2, BYTES / 2));
  CHECK(guest_filled(b, BYTES, 2) && guest_filled(again, BYTES, 2) && guest_filled(c, 5 * 4096 + 10, 3));
  b[100] = 'x';
  CHECK(again[100] == 'x');
  struct shmid_ds description;
  CHECK(shmctl(named, IPC_STAT, &description) == 0 && description.shm_segsz == BYTES && description.shm_nattch == 1);
  CHECK((description.shm_perm.mode & 0777) == 0640 && description.shm_perm.__key == key);
  CHECK(shmctl(unnamed, IPC_STAT, &description) == 0 && description.shm_nattch == 2);
  CHECK(shmget(key, 0, 0) == named);
  char* once_more = shmat(named, NULL, 0);
  CHECK(once_more != (void*)-1 && guest_filled(once_more, BYTES / 2, 1) && shmdt(once_more) == 0);
  CHECK(shmdt(a) == 0 && shmdt(again) == 0 && shmdt(b) == 0 && shmdt(c) == 0);
  CHECK(shmctl(named, IPC_RMID, NULL) == 0 && shmctl(unnamed, IPC_RMID, NULL) == 0);
  CHECK(shmat(removed, NULL, 0) == (void*)-1 && (errno == EINVAL || errno == EIDRM));
  return guest_pass();
}
