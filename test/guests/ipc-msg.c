// System V message queues with messages of several types and lengths, in order.
// mode: checkpoint
#include <sys/ipc.h>
#include <sys/msg.h>

#include "guest.h"

struct message {
  long type;
  char text[3000];
};

int main(void) {
  key_t key = (key_t)(0x53000000 | (getpid() & 0xffffff));
  int id = msgget(key, IPC_CREAT | IPC_EXCL | 0600), other = msgget(IPC_PRIVATE, 0600);
  CHECK(id >= 0 && other >= 0);
  static struct message message;
  static const int lengths[] = {0, 1, 2999, 17, 400};
  for (int i = 0; i < 5; i++) {
    message.type = i == 3 ? 2 : 1 + i;
    guest_fill(message.text, (size_t)lengths[i], (uint64_t)i);
    CHECK(msgsnd(id, &message, (size_t)lengths[i], 0) == 0);
  }
  struct msqid_ds description;
  CHECK(msgctl(other, IPC_STAT, &description) == 0);
  description.msg_qbytes = 1000;
  CHECK(msgctl(other, IPC_SET, &description) == 0);
  guest_checkpoint_here();
  CHECK(msgget(key, 0) == id);
  CHECK(msgctl(id, IPC_STAT, &description) == 0 && description.msg_qnum == 5);
  CHECK(msgctl(other, IPC_STAT, &description) == 0 && description.msg_qnum == 0 && description.msg_qbytes == 1000);
  // By type first: of type 2 there are two, the longer one came later.
  CHECK(msgrcv(id, &message, sizeof message.text, 2, IPC_NOWAIT) == 1 && message.type == 2);
  CHECK(msgrcv(id, &message, sizeof message.text, 2, IPC_NOWAIT) == 17 && guest_filled(message.text, 17, 3));
  static const int rest[] = {0, 2, 4};
  for (int i = 0; i < 3; i++) {
    CHECK(msgrcv(id, &message, sizeof message.text, 0, IPC_NOWAIT) == lengths[rest[i]]);
    CHECK(guest_filled(message.text, (size_t)lengths[rest[i]], (uint64_t)rest[i]) && message.type == 1 + rest[i]);
  }
  CHECK(msgrcv(id, &message, sizeof message.text, 0, IPC_NOWAIT) == -1 && errno == ENOMSG);
  CHECK(msgctl(id, IPC_RMID, NULL) == 0 && msgctl(other, IPC_RMID, NULL) == 0);
  return guest_pass();
}
