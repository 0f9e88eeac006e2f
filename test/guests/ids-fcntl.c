// Ids of processes and groups that descriptors and record locks name: F_SETOWN and its relatives, the ioctls of sockets, F_GETLK.
// build: static musl
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "guest.h"

#ifndef FIOSETOWN
#define FIOSETOWN 0x8901
#define FIOGETOWN 0x8903
#endif

struct owner {
  int type;
  pid_t id;
};

static volatile sig_atomic_t got_pid, got_signal;

static void on_signal(int signal, siginfo_t* info, void* context) {
  (void)context;
  got_signal = signal;
  got_pid = info->si_pid;
}

static void owners(int fd) {
  // A group from outside the pid namespace has no number here.
  if (getpgrp() == 0) CHECK(setpgid(0, 0) == 0);
  CHECK(fcntl(fd, F_GETOWN) == 0);
  CHECK(fcntl(fd, F_SETOWN, getpid()) == 0 && fcntl(fd, F_GETOWN) == getpid());
  struct owner owner;
  CHECK(fcntl(fd, F_GETOWN_EX, &owner) == 0 && owner.type == F_OWNER_PID && owner.id == getpid());
  CHECK(fcntl(fd, F_SETOWN, -getpgrp()) == 0);
  CHECK(fcntl(fd, F_GETOWN_EX, &owner) == 0 && owner.type == F_OWNER_PGRP && owner.id == getpgrp());
  owner = (struct owner){F_OWNER_TID, (pid_t)syscall(SYS_gettid)};
  CHECK(fcntl(fd, F_SETOWN_EX, &owner) == 0);
  memset(&owner, 0, sizeof owner);
  CHECK(fcntl(fd, F_GETOWN_EX, &owner) == 0 && owner.type == F_OWNER_TID && owner.id == getpid());
  owner = (struct owner){F_OWNER_PGRP, getpgrp()};
  CHECK(fcntl(fd, F_SETOWN_EX, &owner) == 0 && fcntl(fd, F_GETOWN_EX, &owner) == 0 && owner.id == getpgrp());

  owner = (struct owner){7, getpid()};
  CHECK(fcntl(fd, F_SETOWN_EX, &owner) == -1 && errno == EINVAL);
  owner = (struct owner){F_OWNER_PID, 0x3ffffff};
  CHECK(fcntl(fd, F_SETOWN_EX, &owner) == -1 && errno == ESRCH);
  CHECK(fcntl(fd, F_SETOWN, 0x3ffffff) == -1 && errno == ESRCH);
  CHECK(fcntl(fd, F_SETOWN_EX, (void*)1) == -1 && errno == EFAULT);
  CHECK(fcntl(-1, F_SETOWN, getpid()) == -1 && errno == EBADF);
  CHECK(fcntl(fd, F_SETOWN, 0) == 0 && fcntl(fd, F_GETOWN) == 0);
}

static void socket_owners(int fd) {
  int id = getpid();
  CHECK(ioctl(fd, FIOSETOWN, &id) == 0);
  id = 0;
  CHECK(ioctl(fd, FIOGETOWN, &id) == 0 && id == getpid());
  id = -getpgrp();
  CHECK(ioctl(fd, SIOCSPGRP, &id) == 0);
  id = 0;
  CHECK(ioctl(fd, SIOCGPGRP, &id) == 0 && id == -getpgrp());
  CHECK(ioctl(fd, SIOCSPGRP, (void*)1) == -1 && errno == EFAULT);
  id = 0x3ffffff;
  CHECK(ioctl(fd, SIOCSPGRP, &id) == -1 && errno == ESRCH);
}

// SIGIO finds the owner.
static void owner_is_told(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  CHECK(sigaction(SIGIO, &action, NULL) == 0);
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(fcntl(ends[0], F_SETOWN, getpid()) == 0 && fcntl(ends[0], F_SETFL, O_ASYNC) == 0);
  CHECK(write(ends[1], "x", 1) == 1);
  for (int i = 0; i < 200 && got_signal == 0; i++) guest_sleep_ms(10);
  CHECK(got_signal == SIGIO);
}

static void locks(void) {
  char path[512];
  int fd = open(guest_path(&path, "locked"), O_RDWR | O_CREAT, 0600);
  CHECK(fd >= 0);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
  CHECK(fcntl(fd, F_SETLK, &lock) == 0);
  pid_t parent = getpid(), child = fork();
  if (child == 0) {
    struct flock asked = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};
    CHECK(fcntl(fd, F_GETLK, &asked) == 0 && asked.l_type == F_WRLCK && asked.l_pid == parent && asked.l_start == 0);
    asked = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};
    CHECK(fcntl(fd, F_OFD_GETLK, &asked) == 0 && asked.l_type == F_WRLCK && asked.l_pid == parent);
    asked = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = 1, .l_pid = 77};
    CHECK(fcntl(fd, F_GETLK, &asked) == 0 && asked.l_type == F_UNLCK && asked.l_pid == 77);
    CHECK(fcntl(fd, F_GETLK, (void*)1) == -1 && errno == EFAULT);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  owners(ends[0]);
  socket_owners(ends[0]);
  owner_is_told();
  locks();
  return guest_pass();
}
