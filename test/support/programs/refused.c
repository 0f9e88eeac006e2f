// Holds one resource that Stasis does not save, and counts on: refused KIND [PORT]. Prints "listening" when it has the resource, then a
// number every 20 ms, so that a test sees it is alive and unharmed.
// flags: -lrt
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/fanotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void need(int condition, const char* what) {
  if (condition) return;
  perror(what);
  exit(1);
}

__attribute__((noreturn)) static void* filter_itself(void* told) {
  struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {1, code};
  need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "seccomp");
  need(write(*(int*)told, "", 1) == 1, "write");
  for (;;) pause();
}

static void ignore(union sigval value) { (void)value; }

static void hold(const char* kind) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  if (!strcmp(kind, "netlink")) {
    need(socket(AF_NETLINK, SOCK_RAW, 0) >= 0, "socket");
  } else if (!strcmp(kind, "memfd")) {
    need(memfd_create("held", 0) >= 0, "memfd");
  } else if (!strcmp(kind, "signalfd")) {
    need(signalfd(-1, &set, 0) >= 0, "signalfd");
  } else if (!strcmp(kind, "signalfd-closed") || !strcmp(kind, "signalfd-exec")) {
    // Two of them, which is nothing to save any more.
    for (int i = 0; i < 2; i++) {
      int fd = signalfd(-1, &set, SFD_NONBLOCK);
      need(fd >= 0 && dup2(fd, fd + 1 + i) >= 0 && close(fd) == 0 && close(fd + 1 + i) == 0, "signalfd");
    }
    if (!strcmp(kind, "signalfd-exec")) need(execl("/proc/self/exe", "refused", "nothing", NULL) == 0, "execl");
  } else if (!strcmp(kind, "nothing")) {
  } else if (!strcmp(kind, "filter")) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sigaltstack, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
  } else if (!strcmp(kind, "thread-filter")) {
    static int ends[2];
    pthread_t thread;
    char byte;
    need(pipe(ends) == 0 && pthread_create(&thread, NULL, filter_itself, &ends[1]) == 0, "thread");
    need(read(ends[0], &byte, 1) == 1 && close(ends[0]) == 0 && close(ends[1]) == 0, "read");
  } else if (!strcmp(kind, "slave")) {  // of a terminal that somebody else has made
    const char* path = getenv("TERMINAL");
    need(path != NULL && open(path, O_RDWR | O_NOCTTY) >= 0, "open");
  } else if (!strcmp(kind, "child")) {
    if (fork() == 0)
      for (;;) pause();
  } else if (!strcmp(kind, "keys")) {
    need(syscall(SYS_add_key, "user", "stasis-test", "secret", 6, KEY_SPEC_PROCESS_KEYRING) >= 0, "add_key");
  } else if (!strcmp(kind, "pidfd")) {
    need(syscall(SYS_pidfd_open, getppid(), 0) >= 0, "pidfd_open");
  } else if (!strcmp(kind, "sysv-part")) {
    int id = shmget(IPC_PRIVATE, 8192, 0600);
    char* memory = shmat(id, NULL, 0);
    need(id >= 0 && memory != (void*)-1 && shmctl(id, IPC_RMID, NULL) == 0 && munmap(memory, 4096) == 0, "shm");
  } else if (!strcmp(kind, "huge-memory")) {
    // Without pages of the pool: none is touched.
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE;
    need(mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED, "mmap");
  } else if (!strcmp(kind, "huge-file")) {
    need(memfd_create("huge", MFD_HUGETLB) >= 0, "memfd_create");
  } else if (!strcmp(kind, "guard")) {
    char* memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(memory != MAP_FAILED && madvise(memory, 4096, 102) == 0, "MADV_GUARD_INSTALL");
  } else if (!strcmp(kind, "fanotify")) {
    need(fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY) >= 0, "fanotify_init");
  } else if (!strcmp(kind, "chroot")) {
    need(chroot("/usr") == 0 && chdir("/") == 0, "chroot");
  } else if (!strncmp(kind, "queue-", 6)) {
    char name[64];
    snprintf(name, sizeof name, "/stasis-refused-%d", getpid());
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    if (!strcmp(kind, "queue-thread")) {
      event.sigev_notify = SIGEV_THREAD;
      event.sigev_notify_function = ignore;
    }
    need(queue != (mqd_t)-1 && mq_unlink(name) == 0 && mq_notify(queue, &event) == 0, "mq_notify");
  } else if (!strcmp(kind, "terminal")) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    need(master >= 0 && unlockpt(master) == 0, "posix_openpt");
    need(write(open(ptsname(master), O_RDWR | O_NOCTTY), "on the way", 10) == 10, "write");
  } else {
    fprintf(stderr, "no kind %s\n", kind);
    exit(2);
  }
}

int main(int count, char** arguments) {
  if (count < 2) return 2;
  hold(arguments[1]);
  puts("listening");
  for (unsigned tick = 0;; tick++) {
    printf("%u\n", tick);
    fflush(stdout);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
  }
}
