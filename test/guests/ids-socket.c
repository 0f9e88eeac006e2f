// Process ids that sockets tell: SO_PEERCRED, SCM_CREDENTIALS sent and received, alone, beside descriptors, in several messages at once,
// and under a storm of signals.
// build: static musl
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "guest.h"

union control {
  char bytes[1536];
  struct cmsghdr aligned;
};

static void make_pair(int type, int ends[2]) {
  int on = 1;
  CHECK(socketpair(AF_UNIX, type, 0, ends) == 0);
  CHECK(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
}

// A message of one byte with the credentials of `pid` (0: none) and `descriptors` descriptors.
static void make_message(struct msghdr* message, struct iovec* vector, union control* control, pid_t pid,
                         int descriptors) {
  *message = (struct msghdr){.msg_iov = vector, .msg_iovlen = 1};
  if (pid == 0 && descriptors == 0) return;
  memset(control, 0, sizeof *control);
  message->msg_control = control->bytes;
  message->msg_controllen = sizeof control->bytes;
  struct cmsghdr* header = CMSG_FIRSTHDR(message);
  size_t used = 0;
  if (descriptors > 0) {
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)descriptors);
    for (int i = 0; i < descriptors; i++) ((int*)(void*)CMSG_DATA(header))[i] = 0;
    used += CMSG_SPACE(sizeof(int) * (size_t)descriptors);
    header = (struct cmsghdr*)(void*)(control->bytes + used);
  }
  if (pid != 0) {
    struct ucred credentials = {pid, getuid(), getgid()};
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_CREDENTIALS;
    header->cmsg_len = CMSG_LEN(sizeof credentials);
    memcpy(CMSG_DATA(header), &credentials, sizeof credentials);
    used += CMSG_SPACE(sizeof credentials);
  }
  message->msg_controllen = used;
}

// The pid in a received message; descriptors in it are closed and counted.
static pid_t pid_in(struct msghdr* message, int* descriptors) {
  pid_t pid = 0;
  for (struct cmsghdr* header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_CREDENTIALS) memcpy(&pid, CMSG_DATA(header), sizeof pid);
    if (header->cmsg_type == SCM_RIGHTS) {
      int count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      for (int i = 0; i < count; i++) CHECK(close(((int*)(void*)CMSG_DATA(header))[i]) == 0);
      *descriptors += count;
    }
  }
  return pid;
}

static pid_t receive(int fd, int* descriptors) {
  char byte;
  struct iovec vector = {&byte, 1};
  union control control;
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  *descriptors = 0;
  while (recvmsg(fd, &message, 0) == -1) CHECK(errno == EINTR);
  return pid_in(&message, descriptors);
}

static long transmit(int fd, pid_t pid, int descriptors) {
  char byte = 'x';
  struct iovec vector = {&byte, 1};
  union control control;
  struct msghdr message;
  make_message(&message, &vector, &control, pid, descriptors);
  return sendmsg(fd, &message, 0);
}

static void credentials_of_pair(void) {
  int ends[2];
  make_pair(SOCK_STREAM, ends);
  struct ucred credentials;
  socklen_t bytes = sizeof credentials;
  CHECK(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) == 0);
  CHECK(bytes == sizeof credentials && credentials.pid == getpid() && credentials.uid == geteuid());
  int pid = -1;
  bytes = sizeof pid;
  CHECK(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &pid, &bytes) == 0 && bytes == sizeof pid && pid == getpid());
  bytes = (socklen_t)-1;
  CHECK(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_getsockopt, ends[0], SOL_SOCKET, SO_PEERCRED, &credentials, 1L) == -1 && errno == EFAULT);
  CHECK(getsockopt(-1, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) == -1 && errno == EBADF);

  int count;
  CHECK(write(ends[0], "x", 1) == 1 && receive(ends[1], &count) == getpid() && count == 0);
  CHECK(transmit(ends[0], getpid(), 0) == 1 && receive(ends[1], &count) == getpid());
  CHECK(transmit(ends[0], getpid(), 3) == 1 && receive(ends[1], &count) == getpid() && count == 3);
  CHECK(transmit(ends[0], getpid(), 200) == 1 && receive(ends[1], &count) == getpid() && count == 200);
  CHECK(transmit(ends[0], 0x3ffffff, 0) == -1 && (errno == EPERM || errno == ESRCH));
  CHECK(syscall(SYS_sendmsg, ends[0], 1L, 0L) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_recvmsg, ends[1], 1L, 0L) == -1 && errno == EFAULT);
}

static void credentials_of_child(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), on = 1;
  // The kernel chooses an abstract name.
  CHECK(bind(listener, (void*)&name, sizeof(sa_family_t)) == 0 && listen(listener, 1) == 0);
  socklen_t bytes = sizeof name;
  CHECK(getsockname(listener, (void*)&name, &bytes) == 0);
  pid_t parent = getpid(), child = fork();
  if (child == 0) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), count;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    CHECK(connect(fd, (void*)&name, bytes) == 0);
    struct ucred credentials;
    bytes = sizeof credentials;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) == 0 && credentials.pid == parent);
    CHECK(receive(fd, &count) == parent);
    CHECK(write(fd, "x", 1) == 1);
    _exit(0);
  }
  int fd = accept(listener, NULL, NULL), count, status;
  CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
  struct ucred credentials;
  bytes = sizeof credentials;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) == 0 && credentials.pid == child);
  CHECK(write(fd, "x", 1) == 1 && receive(fd, &count) == child);
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  bytes = sizeof credentials;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) == 0 && credentials.pid == child);
}

#define MESSAGES 4

// Every message comes whole, however few each call sends.
static void several_at_once(int first_with) {
  int ends[2];
  make_pair(SOCK_DGRAM, ends);
  char byte = 'x';
  struct iovec vector = {&byte, 1};
  union control controls[MESSAGES];
  struct mmsghdr messages[MESSAGES];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < MESSAGES; i++) {
    make_message(&messages[i].msg_hdr, &vector, &controls[i], i >= first_with ? getpid() : 0, 0);
  }
  for (int sent = 0; sent < MESSAGES;) {
    int count = sendmmsg(ends[0], messages + sent, (unsigned)(MESSAGES - sent), 0);
    CHECK(count > 0);
    for (int i = 0; i < count; i++) CHECK(messages[sent + i].msg_len == 1);
    sent += count;
  }
  char bytes[MESSAGES];
  struct iovec vectors[MESSAGES];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < MESSAGES; i++) {
    vectors[i] = (struct iovec){&bytes[i], 1};
    messages[i].msg_hdr = (struct msghdr){
        .msg_iov = &vectors[i], .msg_iovlen = 1, .msg_control = &controls[i], .msg_controllen = sizeof controls[i]};
  }
  CHECK(recvmmsg(ends[1], messages, MESSAGES, 0, NULL) == MESSAGES);
  for (int i = 0; i < MESSAGES; i++) {
    int count = 0;
    CHECK(pid_in(&messages[i].msg_hdr, &count) == getpid());
  }
}

static void on_alarm(int signal) { (void)signal; }

static void under_signals(void) {
  int ends[2];
  make_pair(SOCK_STREAM, ends);
  struct sigaction action = {.sa_handler = on_alarm};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 400; i++) {
      CHECK(transmit(ends[0], getpid(), i % 2) == 1);
      if (i % 8 == 0) guest_sleep_ms(1);
    }
    _exit(0);
  }
  struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
  int count, status;
  for (int i = 0; i < 400; i++) CHECK(receive(ends[1], &count) == child);
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void) {
  credentials_of_pair();
  credentials_of_child();
  several_at_once(0);
  several_at_once(2);
  several_at_once(MESSAGES);
  under_signals();
  return guest_pass();
}
