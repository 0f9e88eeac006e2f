// Looking at a program's file (see program_file.h).
#include "runtime/program_file.h"

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "runtime/syscall.h"
#include "runtime/text.h"
#include "wire/descriptor.h"
#include "wire/layout.h"

namespace stasis::runtime {

namespace {

constexpr i64 kExecuteAccess = 1;  // X_OK
constexpr u32 kSegmentBatch = 16;
constexpr u32 kMaxSegments = 65536 / sizeof(Elf64_Phdr);  // as the kernel

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// First byte of [first, last] that is no blank, or null.
char* next_text(char* first, char* last) {
  for (; first <= last; first++) {
    if (!is_blank(*first)) return first;
  }
  return nullptr;
}

// First blank or NUL of [first, last], or null.
char* next_end(char* first, char* last) {
  for (; first <= last; first++) {
    if (is_blank(*first) || *first == 0) return first;
  }
  return nullptr;
}

}  // namespace

i64 check_permission(const FileName& name) {
  struct stat status;
  i64 result = raw_syscall(__NR_newfstatat, name.directory, name.path, &status, name.flags);
  if (result < 0) return result;
  if (S_ISLNK(status.st_mode)) return -ELOOP;
  if (!S_ISREG(status.st_mode)) return -EACCES;
  result = raw_syscall(__NR_faccessat2, name.directory, name.path, kExecuteAccess, name.flags | AT_EACCESS);
  if (result != -ENOSYS) return result;
  // Before 5.8: with real ids, which are the effective ones in a process that cannot gain privileges.
  if ((name.flags & AT_EMPTY_PATH) != 0) return (status.st_mode & 0111) != 0 ? 0 : -EACCES;
  return raw_syscall(__NR_faccessat, name.directory, name.path, kExecuteAccess);
}

i64 parse_script(char* head, ScriptLine* line) {
  char* last = head + kScriptHeadBytes - 1;
  char* end = head;
  while (end <= last && *end != '\n' && *end != 0) end++;
  if (end > last || *end == 0) {
    // No line end: the name must end within the buffer, or it may have been cut off.
    end = next_text(head + 2, last);
    if (end == nullptr || next_end(end, last) == nullptr) return -ENOEXEC;
    end = last;
  }
  while (is_blank(end[-1])) end--;
  char* name = next_text(head + 2, end);
  if (name == nullptr || name == end) return -ENOEXEC;
  char* argument = nullptr;
  char* separator = next_end(name, end);
  if (separator != nullptr && *separator != 0) argument = next_text(separator, end);
  *end = 0;
  if (argument == end) argument = nullptr;
  if (argument != nullptr) *separator = 0;
  line->interpreter = name;
  line->argument = argument;
  return 0;
}

i64 read_elf_header(i32 fd, Elf64_Ehdr* header) {
  i64 bytes = raw_syscall(__NR_pread64, fd, header, sizeof *header, 0);
  if (bytes < 0) return bytes;
  if (bytes < static_cast<i64>(sizeof *header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return -ENOEXEC;
  bool fits = header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_machine == EM_X86_64 &&
              (header->e_type == ET_EXEC || header->e_type == ET_DYN) && header->e_phentsize == sizeof(Elf64_Phdr) &&
              header->e_phnum > 0 && header->e_phnum <= kMaxSegments;
  return fits ? 0 : -ENOEXEC;
}

i64 for_each_segment(i32 fd, const Elf64_Ehdr& header, i64 (*visit)(void*, const Elf64_Phdr&), void* context) {
  Elf64_Phdr batch[kSegmentBatch];
  for (u32 done = 0; done < header.e_phnum;) {
    u32 count = header.e_phnum - done < kSegmentBatch ? header.e_phnum - done : kSegmentBatch;
    i64 wanted = static_cast<i64>(count * sizeof(Elf64_Phdr));
    i64 bytes = raw_syscall(__NR_pread64, fd, batch, wanted, header.e_phoff + done * sizeof(Elf64_Phdr));
    if (bytes < 0) return bytes;
    if (bytes != wanted) return -ENOEXEC;
    for (u32 i = 0; i < count; i++) {
      i64 result = visit(context, batch[i]);
      if (result != 0) return result;
    }
    done += count;
  }
  return 0;
}

namespace {

struct InterpreterSearch {
  i32 fd;
  char* path;
  u64 capacity;
};

constexpr i64 kFound = 1;

i64 visit_interpreter(void* context, const Elf64_Phdr& segment) {
  if (segment.p_type != PT_INTERP) return 0;
  auto* search = static_cast<InterpreterSearch*>(context);
  if (segment.p_filesz < 2 || segment.p_filesz > search->capacity) return -ENOEXEC;
  i64 bytes = raw_syscall(__NR_pread64, search->fd, search->path, segment.p_filesz, segment.p_offset);
  if (bytes < 0) return bytes;
  if (bytes != static_cast<i64>(segment.p_filesz) || search->path[segment.p_filesz - 1] != 0) return -ENOEXEC;
  return kFound;
}

}  // namespace

i64 read_interpreter(i32 fd, const Elf64_Ehdr& header, char* path, u64 capacity) {
  path[0] = 0;
  InterpreterSearch search{fd, path, capacity};
  i64 result = for_each_segment(fd, header, visit_interpreter, &search);
  return result < 0 ? result : 0;
}

namespace {

i64 visit_window(void*, const Elf64_Phdr& segment) {
  return segment.p_type == PT_LOAD && segment.p_vaddr == wire::kWindowBase ? kFound : 0;
}

}  // namespace

bool is_runtime(const char* path) {
  i64 fd = raw_syscall(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return false;
  Elf64_Ehdr header;
  bool runtime = read_elf_header(static_cast<i32>(fd), &header) == 0 &&
                 for_each_segment(static_cast<i32>(fd), header, visit_window, nullptr) == kFound;
  raw_syscall(__NR_close, fd);
  return runtime;
}

i64 check_elf(i32 fd, char* interpreter) {
  Elf64_Ehdr header;
  i64 result = read_elf_header(fd, &header);
  if (result < 0) return result;
  result = read_interpreter(fd, header, interpreter, wire::kMaxExePath);
  if (result < 0 || interpreter[0] == 0) return result;
  result = check_permission({AT_FDCWD, interpreter, 0});
  if (result < 0) return result;
  i64 interpreter_fd = raw_syscall(__NR_openat, AT_FDCWD, interpreter, O_RDONLY | O_CLOEXEC, 0);
  if (interpreter_fd < 0) return interpreter_fd;
  result = read_elf_header(static_cast<i32>(interpreter_fd), &header);
  raw_syscall(__NR_close, interpreter_fd);
  return result == -ENOEXEC ? -ELIBBAD : result;
}

}  // namespace stasis::runtime
