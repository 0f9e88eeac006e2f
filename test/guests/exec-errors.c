// What execve and execveat refuse, and with which error; the caller goes on unharmed, its mask and handlers as before.
// build: static musl
#include <elf.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "guest.h"

extern char** environ;
static char* const kWords[] = {"word", NULL};

static void write_file(const char* name, const void* bytes, size_t length, int mode) {
  char path[512];
  int fd = open(guest_path(&path, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0 && write(fd, bytes, length) == (ssize_t)length && fchmod(fd, (mode_t)mode) == 0 && close(fd) == 0);
}

static int refusal(const char* name) {
  char path[512];
  CHECK(execve(guest_path(&path, name), kWords, environ) == -1);
  return errno;
}

static int at(int fd, const char* path, int flags) {
  CHECK(syscall(SYS_execveat, fd, path, kWords, environ, flags) == -1);
  return errno;
}

static int raw(const void* path, const void* words, const void* environment) {
  CHECK(syscall(SYS_execve, path, words, environment) == -1);
  return errno;
}

static void headers(void) {
  struct {
    Elf64_Ehdr header;
    Elf64_Phdr segment[2];
    char interpreter[40];
  } file;
  memset(&file, 0, sizeof file);
  memcpy(file.header.e_ident, ELFMAG, SELFMAG);
  file.header.e_ident[EI_CLASS] = ELFCLASS64;
  file.header.e_ident[EI_DATA] = ELFDATA2LSB;
  file.header.e_type = ET_DYN;
  file.header.e_machine = EM_AARCH64;
  file.header.e_phentsize = sizeof(Elf64_Phdr);
  file.header.e_phnum = 2;
  file.header.e_phoff = offsetof(__typeof__(file), segment);
  write_file("foreign", &file, sizeof file, 0755);
  CHECK(refusal("foreign") == ENOEXEC);
  file.header.e_machine = EM_X86_64;
  file.header.e_type = ET_CORE;
  write_file("core", &file, sizeof file, 0755);
  CHECK(refusal("core") == ENOEXEC);
  file.header.e_type = ET_DYN;
  file.header.e_phentsize = 12;
  write_file("entries", &file, sizeof file, 0755);
  CHECK(refusal("entries") == ENOEXEC);
  file.header.e_phentsize = sizeof(Elf64_Phdr);
  file.segment[0] =
      (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = offsetof(__typeof__(file), interpreter), .p_filesz = 20};
  strcpy(file.interpreter, "/nonexistent/loader");
  write_file("orphan", &file, sizeof file, 0755);
  CHECK(refusal("orphan") == ENOENT);
  strcpy(file.interpreter, "/etc/passwd");
  file.segment[0].p_filesz = 12;
  write_file("badloader", &file, sizeof file, 0755);
  CHECK(refusal("badloader") == EACCES);
  file.segment[0].p_filesz = 11;  // not terminated
  write_file("unended", &file, sizeof file, 0755);
  CHECK(refusal("unended") == ENOEXEC);
  write_file("cut", &file, 40, 0755);
  CHECK(refusal("cut") == ENOEXEC);
}

static void paths(void) {
  char path[512], name[5000];
  CHECK(refusal("missing") == ENOENT && raw("", kWords, environ) == ENOENT);
  write_file("plain", "echo\n", 5, 0644);
  CHECK(refusal("plain") == EACCES && refusal("plain/below") == ENOTDIR);
  CHECK(raw(guest_path(&path, ""), kWords, environ) == EACCES && raw("/", kWords, environ) == EACCES);
  CHECK(raw("/dev/null", kWords, environ) == EACCES);
  write_file("garbage", "\001\002\003\004", 4, 0755);
  CHECK(refusal("garbage") == ENOEXEC);
  CHECK(symlink("loop", guest_path(&path, "loop")) == 0 && refusal("loop") == ELOOP);
  memset(name, 'n', sizeof name);
  name[4999] = 0;
  CHECK(raw(name, kWords, environ) == ENAMETOOLONG);
  name[300] = 0;
  CHECK(raw(name, kWords, environ) == ENAMETOOLONG);
}

static void pointers(void) {
  char* page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
  CHECK(raw(NULL, kWords, environ) == EFAULT && raw((void*)-1, kWords, environ) == EFAULT &&
        raw((void*)(1L << 46), kWords, environ) == EFAULT);
  CHECK(raw("/bin/true", (void*)8, environ) == EFAULT && raw("/bin/true", kWords, (void*)8) == EFAULT);
  char** words = (char**)(page + 4096 - 8);
  words[0] = "word";  // and no end before the hole
  CHECK(raw("/bin/true", words, environ) == EFAULT);
  char* bad[] = {(char*)16, NULL};
  CHECK(raw("/bin/true", bad, environ) == EFAULT && raw("/bin/true", kWords, bad) == EFAULT);
  memset(page, '/', 4096);
  CHECK(raw(page + 4000, kWords, environ) == EFAULT);
  char* huge = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(huge != MAP_FAILED);
  memset(huge, 'h', (64 << 20) - 1);
  char* many[] = {"word", huge, NULL};
  CHECK(raw("/bin/true", many, environ) == E2BIG);
}

static void by_fd(void) {
  char path[512];
  int directory = open(guest_path(&path, ""), O_RDONLY | O_DIRECTORY);
  CHECK(directory >= 0 && at(directory, "missing", 0) == ENOENT && at(directory, "plain", 0) == EACCES);
  CHECK(at(directory, "garbage", 0) == ENOEXEC && at(directory, "", 0) == ENOENT &&
        at(directory, "", AT_EMPTY_PATH) == EACCES);
  CHECK(at(-1, "garbage", 0) == EBADF && at(-1, "", AT_EMPTY_PATH) == EBADF);
  CHECK(at(directory, "garbage", 0x40000000) == EINVAL);
  CHECK(symlink("garbage", guest_path(&path, "link")) == 0);
  CHECK(at(directory, "link", 0) == ENOEXEC && at(directory, "link", AT_SYMLINK_NOFOLLOW) == ELOOP);
  int file = open(guest_path(&path, "garbage"), O_RDONLY);
  CHECK(at(file, "below", 0) == ENOTDIR && at(file, "", AT_EMPTY_PATH) == ENOEXEC);
  int next = dup(0);
  CHECK(next == file + 1);  // nothing was left open
}

int main(void) {
  sigset_t block, now;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  CHECK(sigprocmask(SIG_SETMASK, &block, NULL) == 0);
  headers();
  paths();
  pointers();
  by_fd();
  CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 1 &&
        sigismember(&now, SIGUSR2) == 0);
  return guest_pass();
}
