// Policy, niceness, affinity, timer slack and io priority of threads: each its own.
// mode: checkpoint
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "guest.h"

#define IOPRIO_WHO_PROCESS 1
static int policy[2] = {SCHED_BATCH, SCHED_IDLE}, niceness[2] = {5, 7};
static unsigned long slack[2] = {70000, 90000};
static int io_priority[2] = {(2 << 13) | 6, (2 << 13) | 7};
static volatile int ready, go;

static void apply(int which) {
  struct sched_param parameter = {0};
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  pid_t tid = (pid_t)syscall(SYS_gettid);
  CHECK(setpriority(PRIO_PROCESS, (id_t)tid, niceness[which]) == 0);
  CHECK(syscall(SYS_sched_setscheduler, tid, policy[which], &parameter) == 0);
  CHECK(syscall(SYS_sched_setaffinity, tid, sizeof set, &set) > -1);
  CHECK(prctl(PR_SET_TIMERSLACK, slack[which]) == 0);
  CHECK(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, io_priority[which]) == 0);
}

static void check(int which) {
  cpu_set_t set;
  pid_t tid = (pid_t)syscall(SYS_gettid);
  CHECK(getpriority(PRIO_PROCESS, (id_t)tid) == niceness[which]);
  CHECK(syscall(SYS_sched_getscheduler, tid) == policy[which]);
  CHECK(syscall(SYS_sched_getaffinity, tid, sizeof set, &set) > 0 && CPU_ISSET(0, &set) && !CPU_ISSET(1, &set));
  CHECK((unsigned long)prctl(PR_GET_TIMERSLACK) == slack[which]);
  CHECK(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) == io_priority[which]);
}

static void* other(void* unused) {
  (void)unused;
  apply(1);
  ready = 1;
  while (!go) guest_sleep_ms(5);
  check(1);
  return NULL;
}

int main(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, other, NULL) == 0);
  while (!ready) guest_sleep_ms(1);
  apply(0);
  check(0);
  guest_checkpoint_here();
  check(0);
  go = 1;
  CHECK(pthread_join(thread, NULL) == 0);
  check(0);
  return guest_pass();
}
