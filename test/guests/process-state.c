// What the process knows of itself: working directory, umask, name, command line, environment, auxiliary vector, /proc/self/exe, limits.
// mode: checkpoint
// build: static musl
#include <elf.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "guest.h"

extern char** environ;

static size_t read_file(const char* path, char* buffer, size_t bytes) {
  int fd = open(path, O_RDONLY);
  CHECK(fd >= 0);
  size_t got = 0;
  ssize_t count;
  while ((count = read(fd, buffer + got, bytes - got)) > 0) got += (size_t)count;
  close(fd);
  return got;
}

struct state {
  char cwd[512], exe[512], name[16], command_line[4096], environment[32768];
  size_t command_line_bytes, environment_bytes;
  unsigned long random_address, entry, program_headers, page, capabilities, secure;
  struct rlimit files;
};

static void look(struct state* s) {
  memset(s, 0, sizeof *s);
  CHECK(getcwd(s->cwd, sizeof s->cwd) && readlink("/proc/self/exe", s->exe, sizeof s->exe - 1) > 0);
  CHECK(prctl(PR_GET_NAME, s->name) == 0);
  s->command_line_bytes = read_file("/proc/self/cmdline", s->command_line, sizeof s->command_line);
  s->environment_bytes = read_file("/proc/self/environ", s->environment, sizeof s->environment);
  s->random_address = getauxval(AT_RANDOM);
  s->entry = getauxval(AT_ENTRY);
  s->program_headers = getauxval(AT_PHDR);
  s->page = getauxval(AT_PAGESZ);
  s->capabilities = getauxval(AT_HWCAP);
  s->secure = getauxval(AT_SECURE);
  CHECK(getrlimit(RLIMIT_NOFILE, &s->files) == 0);
}

static unsigned long vector_entry(unsigned long type) {
  static Elf64_auxv_t entries[64];
  size_t bytes = read_file("/proc/self/auxv", (char*)entries, sizeof entries);
  for (size_t i = 0; i < bytes / sizeof *entries; i++)
    if (entries[i].a_type == type) return entries[i].a_un.a_val;
  return 0;
}

int main(int count, char** arguments) {
  static struct state before, after;
  char path[512];
  const char* base = strrchr(arguments[0], '/');
  base = base ? base + 1 : arguments[0];
  CHECK(mkdir(guest_path(&path, "work"), 0700) == 0 || errno == EEXIST);
  CHECK(chdir(path) == 0);
  umask(037);
  look(&before);
  CHECK(strncmp(before.name, base, 15) == 0);
  CHECK(strcmp(before.command_line, arguments[0]) == 0);
  const char* exe = strrchr(before.exe, '/');
  CHECK(exe && strcmp(exe + 1, base) == 0);
  CHECK(strstr(strrchr(before.cwd, '/'), "work"));
  CHECK(setenv("GUEST_ADDED", "later", 1) == 0 && prctl(PR_SET_NAME, "renamed guest") == 0);
  look(&before);
  int environment_count = 0;
  while (environ[environment_count]) environment_count++;

  guest_checkpoint_here();

  look(&after);
  CHECK(strcmp(before.cwd, after.cwd) == 0);
  CHECK(strcmp(before.exe, after.exe) == 0);
  CHECK(strcmp(after.name, "renamed guest") == 0);
  CHECK(before.command_line_bytes == after.command_line_bytes);
  CHECK(memcmp(before.command_line, after.command_line, before.command_line_bytes) == 0);
  CHECK(before.environment_bytes == after.environment_bytes);
  CHECK(memcmp(before.environment, after.environment, before.environment_bytes) == 0);
  CHECK(before.random_address == after.random_address && before.entry == after.entry);
  CHECK(before.program_headers == after.program_headers && after.page == 4096 &&
        before.capabilities == after.capabilities);
  CHECK(vector_entry(AT_ENTRY) == after.entry && vector_entry(AT_PHDR) == after.program_headers);
  CHECK(before.files.rlim_cur == after.files.rlim_cur);
  CHECK(strcmp(getenv("GUEST_ADDED"), "later") == 0);
  for (int i = 0; i <= environment_count; i++) CHECK((environ[i] == NULL) == (i == environment_count));
  CHECK(arguments[count] == NULL);
  int fd = open("made-here", O_WRONLY | O_CREAT | O_TRUNC, 0666);
  struct stat entry;
  CHECK(fd >= 0 && fstat(fd, &entry) == 0 && (entry.st_mode & 0777) == (0666 & ~037));
  CHECK(unlink("made-here") == 0);
  return guest_pass();
}
