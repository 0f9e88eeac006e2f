// What a process is called does not change by an exec, whatever it did before: no environment, a script, descriptors all closed or
// replaced or closed on exec, lower limits, another user, another root, another thread, a vfork child, and many execs in a row.
// build: static musl
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"

#ifndef FIOCLEX
#define FIOCLEX 0x5451
#endif

#define HIGHEST_FD 1100

static char self[512], pid_text[24], parent_text[24], shift_text[24];

static int shift(void) {
  const char* text = getenv("GUEST_SHIFT");
  return text ? atoi(text) : 0;
}

// The words of a program that checks its own ids: "check", pid, parent, what they are above, how many execs are left.
static int executed(char** words) {
  int pid = atoi(words[1]), parent = atoi(words[2]), above = atoi(words[3]), left = atoi(words[4]);
  CHECK(getpid() == pid && getppid() == parent && syscall(SYS_gettid) == pid);
  CHECK(pid > above && kill(pid, 0) == 0);
  if (left > 0) {
    char count[24];
    snprintf(count, sizeof count, "%d", left - 1);
    execl("/proc/self/exe", "check", words[1], words[2], words[3], count, (char*)NULL);
    return 1;
  }
  // Children of the new program are translated as well.
  pid_t child = fork();
  if (child == 0) _exit(getpid() > above && getppid() == pid ? 21 : 22);
  int status;
  CHECK(child > above && child != pid && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 21);
  return 23;
}

static void note_own_ids(void) {
  snprintf(pid_text, sizeof pid_text, "%d", getpid());
  snprintf(parent_text, sizeof parent_text, "%d", getppid());
}

static int run_self(const char* file, const char* count) {
  note_own_ids();
  execl(file, "check", pid_text, parent_text, shift_text, count, (char*)NULL);
  return 24;
}

static int plainly(void) { return run_self(self, "0"); }

static int often(void) { return run_self(self, "30"); }

static int without_environment(void) {
  note_own_ids();
  char* words[] = {"check", pid_text, parent_text, shift_text, "0", NULL};
  char* none[] = {NULL};
  execve(self, words, none);
  return 24;
}

static int by_descriptor(void) {
  note_own_ids();
  char* words[] = {"check", pid_text, parent_text, shift_text, "0", NULL};
  int fd = open(self, O_RDONLY | O_CLOEXEC);
  fexecve(fd, words, environ);
  return 24;
}

static int by_script(void) {
  char path[512], text[600];
  int fd = open(guest_path(&path, "script"), O_WRONLY | O_CREAT | O_TRUNC, 0700);
  int bytes = snprintf(text, sizeof text, "#!%s script\n", self);
  if (fd < 0 || write(fd, text, (size_t)bytes) != bytes || close(fd) != 0) return 25;
  return run_self(path, "0");
}

static int with_closed_descriptors(void) {
  for (int fd = 3; fd < HIGHEST_FD; fd++) close(fd);
  return run_self(self, "0");
}

static int with_closed_range(void) {
  syscall(436 /* close_range */, 3, ~0u, 0);
  return run_self(self, "0");
}

static int with_range_closed_on_exec(void) {
  syscall(436 /* close_range */, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
  return run_self(self, "0");
}

static int with_replaced_descriptors(void) {
  for (int fd = 3; fd < HIGHEST_FD; fd++) dup2(0, fd);
  return run_self(self, "0");
}

static int with_descriptors_closed_on_exec(void) {
  for (int fd = 3; fd < HIGHEST_FD; fd++) {
    ioctl(fd, FIOCLEX);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  return run_self(self, "0");
}

static int with_low_limit(void) {
  struct rlimit limit = {16, 16};
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 25;
  return run_self(self, "0");
}

static int as_another_user(void) {
  if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0) return 25;
  if (access(self, X_OK) != 0) return 23;  // nothing to be shown here
  return run_self(self, "3");
}

static int in_another_root(void) {
  if (chroot("/") != 0 || chdir("/") != 0) return 25;
  return run_self(self, "3");
}

static void* exec_in_thread(void* unused) {
  _exit(run_self(self, "0"));
  return unused;
}

static int in_a_thread(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, exec_in_thread, NULL) != 0) return 25;
  for (;;) pause();
}

static int ended(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void check(const char* what, int (*variant)(void)) {
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) _exit(variant());
  int code = ended(child);
  if (code != 23) dprintf(1, "%s: %d\n", what, code);
  CHECK(code == 23);
}

static void in_a_vfork_child(void) {
  pid_t child = vfork();
  if (child == 0) _exit(run_self(self, "2"));
  CHECK(atoi(pid_text) == child && ended(child) == 23);
}

int main(int count, char** words) {
  if (count > 2 && strcmp(words[1], "script") == 0) return executed(words + 2);
  if (count > 1) return executed(words);
  CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  snprintf(shift_text, sizeof shift_text, "%d", shift());
  CHECK(getpid() > shift());
#define CHECK_VARIANT(name) check(#name, name)
  CHECK_VARIANT(plainly);
  CHECK_VARIANT(often);
  CHECK_VARIANT(without_environment);
  CHECK_VARIANT(by_descriptor);
  CHECK_VARIANT(by_script);
  CHECK_VARIANT(with_closed_descriptors);
  CHECK_VARIANT(with_closed_range);
  CHECK_VARIANT(with_range_closed_on_exec);
  CHECK_VARIANT(with_replaced_descriptors);
  CHECK_VARIANT(with_descriptors_closed_on_exec);
  CHECK_VARIANT(with_low_limit);
  CHECK_VARIANT(in_a_thread);
  in_a_vfork_child();
  if (getuid() == 0) {
    CHECK_VARIANT(in_another_root);
    CHECK_VARIANT(as_another_user);
  }
  return guest_pass();
}
