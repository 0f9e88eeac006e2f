// Programs executed by fd: fexecve, a directory and a name, a memfd, a script whose fd stays open or does not.
// build: static
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"

extern char** environ;
static char self[512];

// In the program executed: its fds are 0, 1 and 2.
static int executed(void) {
  int extra = 0;
  for (int fd = 3; fd < 64; fd++) extra += fcntl(fd, F_GETFD) >= 0;
  char link[512];
  ssize_t length = readlink("/proc/self/exe", link, sizeof link - 1);
  if (extra || length <= 0 || getauxval(AT_EXECFN) == 0) return 1;
  return 7;
}

static int status_of(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void close_but(int kept) {
  for (int fd = 3; fd < 64; fd++)
    if (fd != kept) close(fd);
}

static int run(int fd, const char* path, int flags) {
  char* words[] = {"guest", "executed", NULL};
  pid_t child = fork();
  if (child == 0) {
    close_but(fd);
    syscall(SYS_execveat, fd, path, words, environ, flags);
    _exit(errno);
  }
  return status_of(child);
}

int main(int count, char** words) {
  (void)words;
  if (count > 1) return executed();
  CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  int file = open(self, O_RDONLY | O_CLOEXEC);
  CHECK(file >= 0 && run(file, "", AT_EMPTY_PATH) == 7);
  int path_only = open(self, O_PATH | O_CLOEXEC);
  CHECK(path_only >= 0 && run(path_only, "", AT_EMPTY_PATH) == 7);

  char* name = strrchr(self, '/');
  *name++ = 0;
  int directory = open(self, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK(directory >= 0 && run(directory, name, 0) == 7 && run(directory, name, AT_SYMLINK_NOFOLLOW) == 7);

  struct stat status;
  int memory = memfd_create("program", MFD_CLOEXEC);
  CHECK(memory >= 0 && fstat(file, &status) == 0 &&
        sendfile(memory, file, NULL, (size_t)status.st_size) == status.st_size);
  CHECK(run(memory, "", AT_EMPTY_PATH) == 7);

  // A script reached by fd is read by its interpreter through /dev/fd, so it must stay open.
  char path[512], text[600];
  int bytes = snprintf(text, sizeof text, "#!/bin/sh\nexit 5\n");
  int script = open(guest_path(&path, "script"), O_WRONLY | O_CREAT, 0755);
  CHECK(write(script, text, (size_t)bytes) == bytes && close(script) == 0);
  CHECK((script = open(path, O_RDONLY)) >= 0 && run(script, "", AT_EMPTY_PATH) == 5);
  CHECK(fcntl(script, F_SETFD, FD_CLOEXEC) == 0 && run(script, "", AT_EMPTY_PATH) == ENOENT);
  pid_t child = fork();
  if (child == 0) {
    char* arguments[] = {"guest", "executed", NULL};
    close_but(file);
    fexecve(file, arguments, environ);
    _exit(99);
  }
  CHECK(status_of(child) == 7);
  return guest_pass();
}
