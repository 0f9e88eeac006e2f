// Event counters: the count, semaphore mode, flags.
// mode: checkpoint
// build: static
#include <sys/eventfd.h>

#include "guest.h"

int main(void) {
  eventfd_t value;
  int counter = eventfd(5, EFD_NONBLOCK | EFD_CLOEXEC);
  int semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
  int full = eventfd(0, EFD_NONBLOCK);
  int empty = eventfd(0, EFD_NONBLOCK);
  CHECK(counter >= 0 && semaphore >= 0 && full >= 0 && empty >= 0);
  CHECK(eventfd_write(counter, 1ull << 40) == 0);
  CHECK(eventfd_write(full, UINT64_MAX - 1) == 0);
  CHECK(eventfd_read(semaphore, &value) == 0 && value == 1);

  guest_checkpoint_here();

  CHECK(eventfd_read(counter, &value) == 0 && value == (1ull << 40) + 5);
  CHECK(eventfd_read(counter, &value) == -1 && errno == EAGAIN);
  CHECK(fcntl(counter, F_GETFD) == FD_CLOEXEC && fcntl(semaphore, F_GETFD) == 0);
  for (int i = 0; i < 2; i++) CHECK(eventfd_read(semaphore, &value) == 0 && value == 1);
  CHECK(eventfd_read(semaphore, &value) == -1 && errno == EAGAIN);
  CHECK(eventfd_write(full, 1) == -1 && errno == EAGAIN);
  CHECK(eventfd_read(full, &value) == 0 && value == UINT64_MAX - 1);
  CHECK(eventfd_read(empty, &value) == -1 && errno == EAGAIN);
  return guest_pass();
}
