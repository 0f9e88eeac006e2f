// What a program sees of itself: /proc/self/exe by its names, command line, name, environment, auxiliary vector.
// build: static musl
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#include "guest.h"

extern char** environ;

static size_t contents(const char* path, char* buffer, size_t capacity) {
  int fd = open(path, O_RDONLY);
  CHECK(fd >= 0);
  size_t length = 0;
  for (ssize_t n; (n = read(fd, buffer + length, capacity - 1 - length)) > 0;) length += (size_t)n;
  buffer[length] = 0;
  close(fd);
  return length;
}

static void links(const char* program) {
  char expected[512], link[512], path[64];
  CHECK(realpath(program, expected));
  const size_t length = strlen(expected);
  snprintf(path, sizeof path, "/proc/%d/exe", getpid());
  const char* names[] = {"/proc/self/exe", "/proc/thread-self/exe", path};
  for (int i = 0; i < 3; i++) {
    memset(link, '#', sizeof link);
    CHECK(readlink(names[i], link, sizeof link) == (ssize_t)length && memcmp(link, expected, length) == 0 &&
          link[length] == '#');
    CHECK(readlinkat(AT_FDCWD, names[i], link, 5) == 5 &&
          readlinkat(-1, names[i], link, sizeof link) == (ssize_t)length);
    CHECK(syscall(SYS_readlink, names[i], link, 0) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_readlink, names[i], 8, 100) == -1 && errno == EFAULT);
  }
  CHECK(readlink("/proc/self/fd/9999", link, sizeof link) == -1 && errno == ENOENT);
  CHECK(readlink("/proc/self/exe/", link, sizeof link) == -1 && errno == ENOTDIR);
  CHECK(syscall(SYS_readlink, 8, link, sizeof link) == -1 && errno == EFAULT);
  memset(link, 0, sizeof link);
  CHECK(readlink("/proc/self", link, sizeof link) > 0 && atoi(link) == getpid());
  int fd = open("/dev/null", O_RDONLY);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  CHECK(readlink(path, link, sizeof link) == 9 && memcmp(link, "/dev/null", 9) == 0);
  // Over the path itself, and from its middle on.
  strcpy(link, path);
  CHECK(syscall(SYS_readlink, link, link, sizeof link) == 9 && memcmp(link, "/dev/null", 9) == 0);
  strcpy(link, "/proc/self/exe");
  CHECK(syscall(SYS_readlink, link, link + 3, sizeof link - 3) == (ssize_t)length &&
        memcmp(link + 3, expected, length) == 0);
}

static void lines(int count, char** words) {
  static char text[1 << 20];
  size_t length = contents("/proc/self/cmdline", text, sizeof text);
  char* at = text;
  for (int i = 0; i < count; i++) {
    CHECK(strcmp(at, words[i]) == 0);
    at += strlen(at) + 1;
  }
  CHECK(at == text + length);
  length = contents("/proc/self/environ", text, sizeof text);
  at = text;
  for (char** e = environ; *e; e++) {
    CHECK(strcmp(at, *e) == 0);
    at += strlen(at) + 1;
  }
  CHECK(at == text + length);
  char name[17] = "";
  const char* file = strrchr(words[0], '/') ? strrchr(words[0], '/') + 1 : words[0];
  CHECK(prctl(PR_GET_NAME, name) == 0 && strncmp(name, file, 15) == 0);
}

static void vector(const char* program) {
  static char text[4096];
  size_t length = contents("/proc/self/auxv", text, sizeof text);
  const char** end = (const char**)environ;
  while (*end) end++;
  CHECK(length >= 16 && memcmp(end + 1, text, length) == 0);
  char* name = (char*)getauxval(AT_EXECFN);
  CHECK(strcmp(strrchr(name, '/'), strrchr(program, '/')) == 0);
  const ElfW(Phdr)* headers = (const ElfW(Phdr)*)getauxval(AT_PHDR);
  CHECK(getauxval(AT_PHENT) == sizeof *headers && getauxval(AT_PAGESZ) == 4096 && getauxval(AT_SECURE) == 0);
  int loads = 0;
  for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) loads += headers[i].p_type == PT_LOAD;
  CHECK(loads >= 2 && getauxval(AT_ENTRY) != 0 && getauxval(AT_RANDOM) != 0);
}

int main(int count, char** words) {
  links(words[0]);
  lines(count, words);
  vector(words[0]);
  return guest_pass();
}
