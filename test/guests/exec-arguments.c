// Argument and environment vectors of every size arrive as they were: thousands of pointers, none, empty strings, no
// environment. build: static musl
#include <sys/resource.h>
#include <sys/wait.h>

#include "guest.h"

extern char** environ;
static char self[512];

static char* text_of(int i) {
  char text[24];
  snprintf(text, sizeof text, i % 7 ? "%d" : "", i);
  return strdup(text);
}

static int executed(int count, char** words) {
  int expected = atoi(words[1]);
  if (count != expected) return 1;
  for (int i = 2; i < count; i++) {
    char* text = text_of(i);
    if (strcmp(words[i], text) != 0) return 2;
    free(text);
  }
  int variables = 0;
  for (char** e = environ; *e; e++) variables++;
  const char* wanted = getenv("COUNT");
  if (variables != (wanted ? atoi(wanted) : 0)) return 3;
  // The command line the kernel shows is the same.
  int fd = open("/proc/self/cmdline", O_RDONLY);
  static char line[4 << 20];
  size_t length = 0;
  for (ssize_t n; (n = read(fd, line + length, sizeof line - length)) > 0;) length += (size_t)n;
  char* at = line;
  for (int i = 0; i < count; i++) {
    if (strcmp(at, words[i]) != 0) return 4;
    at += strlen(at) + 1;
  }
  return at == line + length ? 7 : 5;
}

static int run(int arguments, int variables, int by_vfork) {
  char** words = calloc((size_t)arguments + 1, sizeof(char*));
  char** environment = calloc((size_t)variables + 1, sizeof(char*));
  char count[24];
  snprintf(count, sizeof count, "%d", arguments);
  words[0] = "guest";
  words[1] = count;
  for (int i = 2; i < arguments; i++) words[i] = text_of(i);
  for (int i = 0; i < variables; i++) {
    environment[i] = malloc(32);
    snprintf(environment[i], 32, i ? "V%d=x" : "COUNT=%d", i ? i : variables);
  }
  pid_t child = by_vfork ? vfork() : fork();
  if (child == 0) {
    execve(self, words, environment);
    _exit(99);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

int main(int count, char** words) {
  if (count > 1) return executed(count, words);
  if (count == 1 && words[0][0] == 0) return environ[0] ? 1 : 7;
  CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  struct rlimit limit = {64 << 20, 64 << 20};
  if (getrlimit(RLIMIT_STACK, &limit) == 0) limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_STACK, &limit);
  static const int kCounts[] = {2, 3, 31, 32, 33, 500, 5000, 8171, 8172, 8173, 20000, 60000};
  for (unsigned i = 0; i < sizeof kCounts / sizeof kCounts[0]; i++)
    CHECK(run(kCounts[i], (int)i, 0) == 7 && run(kCounts[i], 3, 1) == 7);
  CHECK(run(2, 10000, 0) == 7);
  for (int i = 0; i < 40; i++) CHECK(run(9000, 1, 1) == 7);
  // No vector at all gives one empty string since 5.18.
  pid_t child = fork();
  if (child == 0) {
    syscall(SYS_execve, self, NULL, NULL);
    _exit(99);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  return guest_pass();
}
