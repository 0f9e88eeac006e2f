// Ids of processes, groups and sessions as the program asks for them, and calls that name a process by number.
// build: static musl
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "ids.h"

#define KCMP_VM 1
#define IOPRIO_PROCESS 1
#define IOPRIO_GROUP 2
#define SET_PTRACER 0x59616d61

static int secret = 42;

static void own_ids(void) {
  pid_t self = getpid();
  CHECK_ID(self);
  CHECK(syscall(SYS_gettid) == self && syscall(SYS_getpid) == self);
  CHECK_ID(getppid());
  CHECK(getpgid(0) == getpgrp() && getpgid(self) == getpgrp());
  CHECK(getsid(0) == getsid(self));
  CHECK(syscall(SYS_set_tid_address, &secret) == self);
  secret = 42;
}

static void relations(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t self = getpid(), group = getpgrp(), session = getsid(0);
  pid_t child = fork();
  if (child == 0) {
    pid_t seen[5] = {getpid(), getppid(), getpgrp(), getsid(0), setsid()};
    CHECK(getpgrp() == seen[0] && getsid(0) == seen[0]);
    CHECK(write(ends[1], seen, sizeof seen) == sizeof seen);
    for (;;) pause();
  }
  pid_t seen[5];
  CHECK(read(ends[0], seen, sizeof seen) == sizeof seen);
  CHECK(seen[0] == child && seen[1] == self && seen[2] == group && seen[3] == session && seen[4] == child);
  CHECK(getsid(child) == child && getpgid(child) == child);
  guest_end_child(child);
  close(ends[0]), close(ends[1]);
}

static void groups(pid_t ended) {
  pid_t leader = guest_waiting_child(), member = guest_waiting_child();
  CHECK(setpgid(leader, 0) == 0 && getpgid(leader) == leader);
  CHECK(setpgid(member, leader) == 0 && getpgid(member) == leader);
  CHECK(setpgid(ended, 0) == -1 && errno == ESRCH);
  CHECK(setpgid(member, ended) == -1 && errno == EPERM);
  CHECK(setpgid(member, -1) == -1 && errno == EINVAL);
  CHECK(setpgid(-1, 0) == -1 && errno == EINVAL);
  CHECK(getpgid(ended) == -1 && errno == ESRCH);
  CHECK(getsid(ended) == -1 && errno == ESRCH);
  CHECK(getpriority(PRIO_PGRP, leader) == getpriority(PRIO_PROCESS, 0));
  CHECK(syscall(SYS_ioprio_get, IOPRIO_GROUP, leader) >= 0);
  // The group lives on without its leader.
  guest_end_child(leader);
  CHECK(getpgid(member) == leader);
  CHECK(kill(-leader, SIGTERM) == 0);
  int status;
  CHECK(waitpid(-leader, &status, 0) == member && WTERMSIG(status) == SIGTERM);
  CHECK(kill(-leader, 0) == -1 && errno == ESRCH);
}

static void scheduling(pid_t child, pid_t ended) {
  cpu_set_t cpus;
  struct sched_param param;
  struct timespec interval;
  char attributes[56];
  CHECK(sched_getaffinity(child, sizeof cpus, &cpus) == 0 && sched_setaffinity(child, sizeof cpus, &cpus) == 0);
  CHECK(syscall(SYS_sched_getscheduler, child) == SCHED_OTHER);
  CHECK(syscall(SYS_sched_getparam, child, &param) == 0 && param.sched_priority == 0);
  CHECK(syscall(SYS_sched_setscheduler, child, SCHED_BATCH, &param) == 0 &&
        syscall(SYS_sched_getscheduler, child) == SCHED_BATCH);
  CHECK(syscall(SYS_sched_setparam, child, &param) == 0);
  CHECK(syscall(SYS_sched_rr_get_interval, child, &interval) == 0);
  CHECK(syscall(SYS_sched_getattr, child, attributes, sizeof attributes, 0) == 0);
  CHECK(setpriority(PRIO_PROCESS, child, 19) == 0 && getpriority(PRIO_PROCESS, child) == 19);
  CHECK(syscall(SYS_ioprio_get, IOPRIO_PROCESS, child) >= 0);
  CHECK(sched_getaffinity(ended, sizeof cpus, &cpus) == -1 && errno == ESRCH);
  CHECK(syscall(SYS_sched_getscheduler, ended) == -1 && errno == ESRCH);
  CHECK(syscall(SYS_sched_getscheduler, -1) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_sched_setscheduler, ended, -5, &param) == -1 && errno == EINVAL);
  errno = 0;
  CHECK(getpriority(PRIO_PROCESS, ended) == -1 && errno == ESRCH);
  CHECK(syscall(SYS_ioprio_get, IOPRIO_PROCESS, ended) == -1 && errno == ESRCH);
}

static void other_processes(pid_t child, pid_t ended) {
  struct rlimit limit = {0};
  CHECK(prlimit(child, RLIMIT_NOFILE, NULL, &limit) == 0 && limit.rlim_cur > 0);
  CHECK(prlimit(ended, RLIMIT_NOFILE, NULL, &limit) == -1 && errno == ESRCH);
  void* head;
  size_t length;
  CHECK(syscall(SYS_get_robust_list, child, &head, &length) == 0);
  CHECK(syscall(SYS_get_robust_list, ended, &head, &length) == -1 && errno == ESRCH);
  int copy = 0, other = 43;
  struct iovec local = {&copy, sizeof copy}, remote = {&secret, sizeof secret}, from = {&other, sizeof other};
  CHECK(process_vm_readv(child, &local, 1, &remote, 1, 0) == sizeof copy && copy == 42);
  CHECK(process_vm_writev(child, &from, 1, &remote, 1, 0) == sizeof copy && secret == 42);
  CHECK(process_vm_readv(child, &local, 1, &remote, 1, 0) == sizeof copy && copy == 43);
  CHECK(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == sizeof copy && copy == 42);
  CHECK(process_vm_readv(ended, &local, 1, &remote, 1, 0) == -1 && errno == ESRCH);
  CHECK(syscall(SYS_kcmp, getpid(), child, KCMP_VM, 0, 0) > 0 && syscall(SYS_kcmp, child, child, KCMP_VM, 0, 0) == 0);
  CHECK(syscall(SYS_kcmp, getpid(), ended, KCMP_VM, 0, 0) == -1 && errno == ESRCH);
  void* page = (void*)((uintptr_t)&secret & ~4095UL);
  int node = -1;
  if (syscall(SYS_move_pages, child, 1UL, &page, NULL, &node, 0) == 0) CHECK(node >= 0);
  int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
  CHECK(pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0);
  close(pidfd);
  CHECK(syscall(SYS_pidfd_open, ended, 0) == -1 && errno == ESRCH);
  // Without Yama every value is EINVAL; with it an ended process is.
  CHECK(prctl(SET_PTRACER, child) == 0 || errno == EINVAL);
  CHECK(prctl(SET_PTRACER, ended) == -1 && errno == EINVAL);
  prctl(SET_PTRACER, -1L);
}

// What the system calls these processes is nobody's name here.
static void strangers(pid_t child) {
  int shift = guest_shift();
  if (shift == 0) return;
  siginfo_t info;
  CHECK(kill(child - shift, 0) == -1 && errno == ESRCH);
  CHECK(kill(getpid() - shift, 0) == -1 && errno == ESRCH);
  CHECK(kill(1, 0) == 0 || errno == EPERM);
  CHECK(getsid(child - shift) == -1 && errno == ESRCH);
  CHECK(waitpid(child - shift, NULL, WNOHANG) == -1 && errno == ECHILD);
  CHECK(waitid(P_PID, (id_t)(child - shift), &info, WEXITED | WNOHANG) == -1 && errno == ECHILD);
  CHECK(syscall(SYS_pidfd_open, child - shift, 0) == -1 && errno == ESRCH);
}

int main(void) {
  own_ids();
  relations();
  pid_t ended = guest_ended_pid(), child = guest_waiting_child();
  groups(ended);
  scheduling(child, ended);
  other_processes(child, ended);
  strangers(child);
  guest_end_child(child);
  return guest_pass();
}
