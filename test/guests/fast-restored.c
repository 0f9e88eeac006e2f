// A program whose call sites were rewritten comes back with the text it was made with, and goes on from a call that was under way: a thread
// waits in the open of a FIFO over the checkpoint.
// mode: checkpoint
#include <pthread.h>
#include <sys/stat.h>

#include "fast.h"

static char fifo[512];
static struct guest_code original;

static void* open_fifo(void* unused) {
  char byte = 0;
  const int fd = open(fifo, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'x' && close(fd) == 0);
  return unused;
}

static void use(void) {
  const pid_t own = getpid();
  for (int i = 0; i < 60; i++) {
    CHECK(getpid() == own);
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && close(fd) == 0);
  }
}

int main(void) {
  original = guest_code_of("getpid");
  guest_path(&fifo, "fifo");
  CHECK(mkfifo(fifo, 0600) == 0);
  const pid_t self = getpid();
  use();
  if (guest_shift()) CHECK(guest_is_rewritten("getpid"));
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, open_fifo, NULL) == 0);
  guest_sleep_ms(20);

  guest_checkpoint_here();

  const struct guest_code now = guest_code_of("getpid");
  const int same = memcmp(&now, &original, sizeof now) == 0;
  CHECK(getpid() == self);
  use();
  CHECK(same || guest_is_rewritten("getpid"));
  const int fd = open(fifo, O_WRONLY | O_CLOEXEC);
  CHECK(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0 && pthread_join(thread, NULL) == 0);
  return guest_pass();
}
