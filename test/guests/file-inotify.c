// inotify: watches with their numbers, masks and places are there after a restore, and tell what happens then.
// mode: checkpoint
// build: static
#include <sys/inotify.h>
#include <sys/stat.h>

#include "guest.h"

static struct inotify_event* next(int fd) {
  static char buffer[4096] __attribute__((aligned(8)));
  CHECK(read(fd, buffer, sizeof buffer) >= (ssize_t)sizeof(struct inotify_event));
  return (struct inotify_event*)buffer;
}

int main(void) {
  char path[512];
  int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), second = inotify_init1(0);
  CHECK(fd >= 0 && second >= 0 && mkdir(guest_path(&path, "watched"), 0700) == 0);
  int unused = inotify_add_watch(fd, "/", IN_CREATE);
  int directory = inotify_add_watch(fd, path, IN_CREATE | IN_DELETE | IN_ONLYDIR);
  int file = open(guest_path(&path, "file"), O_RDWR | O_CREAT, 0600);
  int watch = inotify_add_watch(fd, path, IN_MODIFY);
  CHECK(inotify_add_watch(fd, path, IN_ATTRIB | IN_MASK_ADD) == watch);
  CHECK(inotify_rm_watch(fd, unused) == 0 && next(fd)->mask == IN_IGNORED);
  int other = inotify_add_watch(second, path, IN_CLOSE_WRITE | IN_ONESHOT);
  CHECK(unused == 1 && directory == 2 && watch == 3 && other == 1);

  guest_checkpoint_here();

  char byte;
  CHECK(read(fd, &byte, 1) == -1 && errno == EAGAIN && fcntl(fd, F_GETFD) == FD_CLOEXEC);
  CHECK(write(file, "x", 1) == 1);
  struct inotify_event* event = next(fd);
  CHECK(event->wd == watch && event->mask == IN_MODIFY);
  CHECK(fchmod(file, 0640) == 0 && (event = next(fd))->wd == watch && event->mask == IN_ATTRIB);
  int made = open(guest_path(&path, "watched/new"), O_WRONLY | O_CREAT, 0600);
  CHECK(made >= 0 && (event = next(fd))->wd == directory && event->mask == IN_CREATE && !strcmp(event->name, "new"));
  CHECK(close(file) == 0 && (event = next(second))->wd == other && event->mask == IN_CLOSE_WRITE);
  CHECK(inotify_rm_watch(fd, directory) == 0 && (event = next(fd))->wd == directory && event->mask == IN_IGNORED);
  return guest_pass();
}
