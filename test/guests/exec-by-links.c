// A program is found by links of every kind, and its exe link has the file's real name, AT_EXECFN the name that was used (but for exe links).
// What is no program is refused as by the kernel, without waiting.
// build: static musl
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "guest.h"

static char self[512], here[512], used[8200];

// In the program executed: guest REAL-NAME NAME-USED
static int executed(char** words) {
  char link[512] = "", name[17] = "";
  CHECK(readlink("/proc/self/exe", link, sizeof link - 1) > 0 && strcmp(link, words[1]) == 0);
  if (strncmp(words[2], "/proc/", 6) == 0 && strstr(words[2], "/exe")) return 7;
  CHECK(strcmp((char*)getauxval(AT_EXECFN), words[2]) == 0);
  const char* base = strrchr(words[2], '/') ? strrchr(words[2], '/') + 1 : words[2];
  CHECK(prctl(PR_GET_NAME, name) == 0 && strncmp(name, base, 15) == 0);
  return 7;
}

// How the program ended, or the error of exec plus 100.
static int run(const char* path) {
  pid_t child = fork();
  if (child == 0) {
    char* words[] = {"guest", self, (char*)path, NULL};
    execv(path, words);
    _exit(100 + errno);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static const char* in(const char* name) {
  snprintf(used, sizeof used, "%s/%s", here, name);
  return used;
}

static void chains(void) {
  char text[1024];
  CHECK(mkdir("deep", 0755) == 0 && mkdir("deep/er", 0755) == 0 && symlink("deep/er", "short") == 0);
  CHECK(symlink(self, "link0") == 0 && symlink("../../link0", "deep/er/up") == 0);
  for (int i = 1; i < 7; i++) {
    snprintf(text, sizeof text, i % 2 ? "link%d" : "%2$s/link%1$d", i - 1, here);
    char name[24];
    snprintf(name, sizeof name, "link%d", i);
    CHECK(symlink(text, name) == 0 && run(name) == 7 && run(in(name)) == 7);
  }
  const char* names[] = {"deep/er/up",     "short/up",          "./short//up",        "deep/../short/./up",
                         "short/../er/up", "short/../../link3", "deep/er/../../link0"};
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) CHECK(run(names[i]) == 7 && run(in(names[i])) == 7);
  memset(used, 0, sizeof used);
  for (int i = 0; i < 1900; i++) strcat(used, "./");
  CHECK(run(strcat(used, "link0")) == 7);
  CHECK(symlink("nowhere", "dangling") == 0 && run("dangling") == 100 + ENOENT);
  CHECK(symlink("loop", "loop") == 0 && run("loop") == 100 + ELOOP && run("link0/x") == 100 + ENOTDIR);
  CHECK(mkdir("gone", 0755) == 0 && chdir("gone") == 0 && rmdir("../gone") == 0);
  CHECK(run(in("link2")) == 7 && run("link2") == 100 + ENOENT && chdir(here) == 0);
}

static void links_of_proc(void) {
  snprintf(used, sizeof used, "/proc/%d/exe", getpid());
  CHECK(run(used) == 7 && run("/proc/self/exe") == 7);
  const int fd = open(self, O_RDONLY | O_CLOEXEC);  // gone by the time the program runs
  CHECK(fd >= 0);
  snprintf(used, sizeof used, "/proc/self/fd/%d", fd);
  CHECK(run(used) == 7);
  close(fd);
}

static void no_programs(void) {
  CHECK(mkfifo("fifo", 0755) == 0 && chmod("fifo", 0755) == 0 && run("fifo") == 100 + EACCES);
  CHECK(run("deep") == 100 + EACCES && run("/dev/null") == 100 + EACCES);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(bind(listener, (struct sockaddr*)&address, sizeof address) == 0 && chmod("socket", 0755) == 0);
  CHECK(run("socket") == 100 + EACCES);
  close(listener);
}

int main(int count, char** words) {
  if (count > 1) return executed(words);
  char text[512];
  CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  CHECK(mkdir(guest_path(&text, "links"), 0755) == 0 && chdir(text) == 0 && getcwd(here, sizeof here));
  chains();
  links_of_proc();
  no_programs();
  return guest_pass();
}
