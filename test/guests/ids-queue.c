// Queued signals: each record names its sender, however it is read and whatever interrupts the reading.
// build: static musl
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "ids.h"

#define SENDERS 4
#define EACH 50

static pid_t senders[SENDERS];
static int next_value[SENDERS];
static volatile sig_atomic_t ticks;

static void on_tick(int signal) {
  (void)signal;
  ticks++;
}

static volatile sig_atomic_t urged;

static void on_urge(int signal) {
  (void)signal;
  urged++;
}

static void start_senders(int signal) {
  pid_t self = getpid();
  for (int i = 0; i < SENDERS; i++) {
    next_value[i] = 0;
    senders[i] = fork();
    CHECK(senders[i] >= 0);
    if (senders[i] != 0) continue;
    for (int value = 0; value < EACH; value++) {
      union sigval queued = {.sival_int = value};
      CHECK(sigqueue(self, signal, queued) == 0);
      // Often there before the reader runs: it gets its record, and the handler comes first.
      CHECK(kill(self, SIGURG) == 0);
      if (value % 16 == i) guest_sleep_ms(1);
    }
    _exit(0);
  }
}

static void end_senders(void) {
  for (int i = 0; i < SENDERS; i++) {
    CHECK(next_value[i] == EACH);
    while (waitpid(senders[i], NULL, 0) < 0) CHECK(errno == EINTR);
  }
}

// One sender's records come in the order in which it sent them.
static void take(pid_t sender, int value) {
  int i = 0;
  while (i < SENDERS && senders[i] != sender) i++;
  CHECK(i < SENDERS && value == next_value[i]);
  next_value[i]++;
}

static void by_wait(int signal, const sigset_t* set) {
  start_senders(signal);
  for (int i = 0; i < SENDERS * EACH; i++) {
    siginfo_t info;
    struct timespec second = {1, 0};
    int got;
    while ((got = i % 2 ? sigwaitinfo(set, &info) : sigtimedwait(set, &info, &second)) < 0)
      CHECK(errno == EINTR || errno == EAGAIN);
    CHECK(got == signal && info.si_code == SI_QUEUE);
    take(info.si_pid, info.si_value.sival_int);
  }
  end_senders();
}

static void by_descriptor(int signal, const sigset_t* set) {
  int fd = signalfd(-1, set, SFD_CLOEXEC);
  CHECK(fd >= 0);
  start_senders(signal);
  for (int left = SENDERS * EACH; left > 0;) {
    struct signalfd_siginfo records[3];
    struct iovec pieces[2] = {{records, sizeof records[0]}, {records + 1, 2 * sizeof records[0]}};
    ssize_t got = left % 2 ? readv(fd, pieces, 2) : read(fd, records, sizeof records);
    if (got < 0) CHECK(errno == EINTR);
    CHECK(got < 0 || got % (ssize_t)sizeof records[0] == 0);
    for (int i = 0; i < got / (ssize_t)sizeof records[0]; i++, left--) {
      CHECK((int)records[i].ssi_signo == signal && records[i].ssi_code == SI_QUEUE);
      take((pid_t)records[i].ssi_pid, records[i].ssi_int);
    }
  }
  end_senders();
  close(fd);
}

static int ready[2], shared_fd;

static void* read_later(void* unused) {
  struct signalfd_siginfo record;
  char byte;
  (void)unused;
  CHECK(read(ready[0], &byte, 1) == 1);
  CHECK(read(shared_fd, &record, sizeof record) == sizeof record && (pid_t)record.ssi_pid == getpid());
  return NULL;
}

// A thread that was there before the descriptor was.
static void by_thread(void) {
  pthread_t thread;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK(pipe(ready) == 0 && pthread_create(&thread, NULL, read_later, NULL) == 0);
  guest_sleep_ms(10);
  shared_fd = signalfd(-1, &set, SFD_CLOEXEC);
  CHECK(shared_fd >= 0 && kill(getpid(), SIGUSR2) == 0 && write(ready[1], "x", 1) == 1);
  CHECK(pthread_join(thread, NULL) == 0);
  close(ready[0]), close(ready[1]), close(shared_fd);
}

// Other numbers for the same descriptor, a number that becomes another's, one that does not wait, a mask that changes.
static void descriptors(void) {
  pid_t self = getpid();
  sigset_t set;
  struct signalfd_siginfo record;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  CHECK(fd >= 0 && read(fd, &record, sizeof record) == -1 && errno == EAGAIN);
  CHECK(kill(self, SIGUSR2) == 0);
  struct pollfd poller = {fd, POLLIN, 0};
  CHECK(poll(&poller, 1, 1000) == 1 && read(fd, &record, 8) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_read, fd, (void*)8, sizeof record) == -1 && errno == EFAULT);
  CHECK(kill(self, SIGUSR2) == 0 && read(fd, &record, sizeof record) == sizeof record && (pid_t)record.ssi_pid == self);
  int copy = dup(fd);
  CHECK(kill(self, SIGUSR2) == 0 && read(copy, &record, sizeof record) == sizeof record &&
        (pid_t)record.ssi_pid == self);
  CHECK(fcntl(fd, F_DUPFD, 100) >= 100 && kill(self, SIGUSR2) == 0);
  CHECK(read(100, &record, sizeof record) == sizeof record && (pid_t)record.ssi_pid == self);
  CHECK(dup2(fd, 120) == 120 && kill(self, SIGUSR2) == 0);
  CHECK(read(120, &record, sizeof record) == sizeof record && (pid_t)record.ssi_pid == self);
  close(copy), close(100), close(120);
  sigaddset(&set, SIGUSR1);
  CHECK(signalfd(fd, &set, 0) == fd && kill(self, SIGUSR1) == 0);
  CHECK(read(fd, &record, sizeof record) == sizeof record && (pid_t)record.ssi_pid == self &&
        record.ssi_signo == SIGUSR1);
  pid_t child = fork();
  if (child == 0) _exit(kill(self, SIGUSR2) == 0 ? 0 : 1);
  CHECK(poll(&poller, 1, 5000) == 1 && read(fd, &record, sizeof record) == sizeof record &&
        (pid_t)record.ssi_pid == child);
  CHECK(waitpid(child, NULL, 0) == child);
  close(fd);
  int ends[2];
  char byte;
  CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1 && read(ends[0], &byte, 1) == 1 && byte == 'x');
  CHECK(signalfd(-1, (void*)8, 0) == -1 && errno == EFAULT);
  CHECK(signalfd(ends[0], &set, 0) == -1 && errno == EINVAL);
}

int main(void) {
  int signal = SIGRTMIN + 3;
  sigset_t set, usual;
  sigemptyset(&set);
  sigaddset(&set, signal);
  usual = set;
  sigaddset(&usual, SIGUSR1);
  sigaddset(&usual, SIGUSR2);
  CHECK(sigprocmask(SIG_BLOCK, &usual, NULL) == 0);
  struct sigaction urge = {.sa_handler = on_urge};
  CHECK(sigaction(SIGURG, &urge, NULL) == 0);
  by_wait(signal, &set);
  by_descriptor(signal, &set);
  for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = flags};
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    ticks = 0;
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    for (int i = 0; i < 5; i++) {
      by_wait(signal, &set);
      by_descriptor(signal, &set);
    }
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0 && ticks > 0);
  }
  struct sigaction none = {.sa_handler = SIG_DFL};
  CHECK(sigaction(SIGURG, &none, NULL) == 0 && urged > 0);
  by_thread();
  descriptors();
  return guest_pass();
}
