// POSIX message queues: messages of several priorities in their order, attributes, an empty message, O_NONBLOCK, ends for reading or writing
// alone, a queue of two processes whose reader waits, a queue without a name.
// mode: checkpoint
#include <mqueue.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"

static mqd_t make(const char* name, int flags, long messages, long bytes) {
  struct mq_attr attributes = {.mq_maxmsg = messages, .mq_msgsize = bytes};
  mqd_t queue = mq_open(name, flags | O_CREAT | O_EXCL, 0620, &attributes);
  CHECK(queue != (mqd_t)-1);
  return queue;
}

static void expect(mqd_t queue, const char* text, unsigned priority) {
  char buffer[200];
  unsigned found;
  ssize_t bytes = mq_receive(queue, buffer, sizeof buffer, &found);
  CHECK(bytes == (ssize_t)strlen(text) && found == priority && memcmp(buffer, text, (size_t)bytes) == 0);
}

int main(void) {
  char many_name[64], asked_name[64], gone_name[64];
  snprintf(many_name, sizeof many_name, "/stasis-many-%d", getpid());
  snprintf(asked_name, sizeof asked_name, "/stasis-asked-%d", getpid());
  snprintf(gone_name, sizeof gone_name, "/stasis-gone-%d", getpid());
  mqd_t queue = make(many_name, O_RDWR | O_NONBLOCK, 8, 200);
  CHECK(fchmod(queue, 0600) == 0);
  mqd_t sender = mq_open(many_name, O_WRONLY), reader = mq_open(many_name, O_RDONLY | O_NONBLOCK);
  CHECK(sender != (mqd_t)-1 && reader != (mqd_t)-1);
  CHECK(mq_send(queue, "low", 3, 1) == 0 && mq_send(queue, "high", 4, 9) == 0 && mq_send(sender, "second", 6, 9) == 0);
  CHECK(mq_send(queue, "", 0, 9) == 0 && mq_send(queue, "most", 4, 32767) == 0 && mq_send(queue, "least", 5, 0) == 0);

  mqd_t gone = make(gone_name, O_RDWR, 2, 200);
  CHECK(mq_unlink(gone_name) == 0 && mq_send(gone, "without a name", 14, 3) == 0);

  mqd_t asked = make(asked_name, O_RDWR, 1, 200);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    expect(asked, "come", 4);  // waits through the checkpoint
    _exit(0);
  }

  guest_checkpoint_here();

  struct mq_attr attributes;
  CHECK(mq_getattr(queue, &attributes) == 0 && attributes.mq_flags == O_NONBLOCK && attributes.mq_curmsgs == 6);
  CHECK(attributes.mq_maxmsg == 8 && attributes.mq_msgsize == 200);
  CHECK(mq_getattr(sender, &attributes) == 0 && attributes.mq_flags == 0);
  struct stat status;
  CHECK(fstat(queue, &status) == 0 && (status.st_mode & 0777) == 0600);
  char buffer[200];
  CHECK(mq_receive(sender, buffer, sizeof buffer, NULL) == -1 && errno == EBADF);
  CHECK(mq_send(reader, "no", 2, 0) == -1 && errno == EBADF);
  expect(queue, "most", 32767);
  expect(reader, "high", 9);
  expect(queue, "second", 9);
  expect(queue, "", 9);
  CHECK(mq_send(sender, "late", 4, 1) == 0);
  expect(reader, "low", 1);
  expect(reader, "late", 1);
  expect(queue, "least", 0);
  CHECK(mq_receive(queue, buffer, sizeof buffer, NULL) == -1 && errno == EAGAIN);
  CHECK(mq_open(gone_name, O_RDWR) == (mqd_t)-1 && errno == ENOENT);
  expect(gone, "without a name", 3);

  CHECK(mq_send(asked, "come", 4, 4) == 0);
  int end;
  CHECK(waitpid(child, &end, 0) == child && end == 0);
  mqd_t again = mq_open(asked_name, O_WRONLY);
  CHECK(again != (mqd_t)-1 && mq_send(again, "once more", 9, 0) == 0);
  expect(asked, "once more", 0);

  // Now that nobody saves it any more.
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  CHECK(mq_notify(asked, &event) == 0 && mq_notify(asked, NULL) == 0);
  CHECK(mq_unlink(many_name) == 0 && mq_unlink(asked_name) == 0);
  return guest_pass();
}
