// Looking at a program's file (see program_file.h).
#include "runtime/program_file.h"

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "runtime/state.h"
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
  if (name.flags != 0) {
    struct stat status;
    i64 result = raw_syscall(__NR_newfstatat, name.directory, name.path, &status, name.flags);
    if (result < 0) return result;
    if (S_ISLNK(status.st_mode)) return -ELOOP;
    if (!S_ISREG(status.st_mode)) return -EACCES;
    // Before 5.8 there is no faccessat2.
    if ((name.flags & AT_EMPTY_PATH) != 0 && (status.st_mode & 0111) == 0) return -EACCES;
  }
  i64 result = raw_syscall(__NR_faccessat2, name.directory, name.path, kExecuteAccess, name.flags | AT_EACCESS);
  if (result != -ENOSYS || (name.flags & AT_EMPTY_PATH) != 0) return result == -ENOSYS ? 0 : result;
  // With real ids, which are the effective ones in a process that cannot gain privileges.
  return raw_syscall(__NR_faccessat, name.directory, name.path, kExecuteAccess);
}

i64 open_permitted(const char* path, FileHead* head) {
  // A FIFO would be waited for.
  const i64 fd = raw_syscall(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  const i64 result = fd < 0 ? fd : read_head(static_cast<i32>(fd), head);
  if (fd >= 0 && result < 0) raw_syscall(__NR_close, fd);
  // A socket, a FIFO, a directory: what cannot be read so is no program.
  return result == -ENXIO || result == -ESPIPE || result == -EISDIR ? -EACCES : result;
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

i64 read_head(i32 fd, FileHead* head) {
  head->fd = fd;
  const i64 bytes = raw_syscall(__NR_pread64, fd, head->bytes, sizeof head->bytes, 0);
  if (bytes < 0) return bytes;
  head->filled = static_cast<u32>(bytes);
  return 0;
}

i64 check_elf_header(const FileHead& head) {
  const Elf64_Ehdr& header = head.header();
  if (head.filled < sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return -ENOEXEC;
  bool fits = header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_machine == EM_X86_64 &&
              (header.e_type == ET_EXEC || header.e_type == ET_DYN) && header.e_phentsize == sizeof(Elf64_Phdr) &&
              header.e_phnum > 0 && header.e_phnum <= kMaxSegments;
  return fits ? 0 : -ENOEXEC;
}

namespace {

bool lies_in(const FileHead& head, u64 bytes, u64 offset) {
  return offset <= head.filled && bytes <= head.filled - offset;
}

// `bytes` of the file at `offset`. 0, -ENOEXEC if the file is shorter, or a read error.
i64 read_at(const FileHead& head, void* to, u64 bytes, u64 offset) {
  const i64 result = raw_syscall(__NR_pread64, head.fd, to, bytes, offset);
  return result < 0 ? result : result == static_cast<i64>(bytes) ? 0 : -ENOEXEC;
}

}  // namespace

namespace {

using Visit = i64 (*)(void*, const Elf64_Phdr&);

i64 visit_all(const Elf64_Phdr* segments, u32 count, Visit visit, void* context) {
  for (u32 i = 0; i < count; i++) {
    const i64 result = visit(context, segments[i]);
    if (result != 0) return result;
  }
  return 0;
}

// A long table, or one that does not follow the header. Apart, for the sake of the callers' frames.
__attribute__((noinline)) i64 visit_in_batches(const FileHead& head, Visit visit, void* context) {
  const Elf64_Ehdr& header = head.header();
  Elf64_Phdr batch[kSegmentBatch];
  for (u32 done = 0; done < header.e_phnum;) {
    u32 count = header.e_phnum - done < kSegmentBatch ? header.e_phnum - done : kSegmentBatch;
    i64 result = read_at(head, batch, count * sizeof(Elf64_Phdr), header.e_phoff + done * sizeof(Elf64_Phdr));
    if (result == 0) result = visit_all(batch, count, visit, context);
    if (result != 0) return result;
    done += count;
  }
  return 0;
}

}  // namespace

i64 for_each_segment(const FileHead& head, i64 (*visit)(void*, const Elf64_Phdr&), void* context) {
  const Elf64_Ehdr& header = head.header();
  const u64 bytes = header.e_phnum * sizeof(Elf64_Phdr);
  if (!lies_in(head, bytes, header.e_phoff)) return visit_in_batches(head, visit, context);
  return visit_all(reinterpret_cast<const Elf64_Phdr*>(head.bytes + header.e_phoff), header.e_phnum, visit, context);
}

namespace {

struct InterpreterSearch {
  const FileHead& head;
  char* buffer;
  const char* name;
};

constexpr i64 kFound = 1;

i64 visit_interpreter(void* context, const Elf64_Phdr& segment) {
  if (segment.p_type != PT_INTERP) return 0;
  auto* search = static_cast<InterpreterSearch*>(context);
  if (segment.p_filesz < 2 || segment.p_filesz > wire::kMaxExePath) return -ENOEXEC;
  if (lies_in(search->head, segment.p_filesz, segment.p_offset)) {
    search->name = reinterpret_cast<const char*>(search->head.bytes + segment.p_offset);
  } else {
    i64 result = read_at(search->head, search->buffer, segment.p_filesz, segment.p_offset);
    if (result < 0) return result;
    search->name = search->buffer;
  }
  return search->name[segment.p_filesz - 1] == 0 ? kFound : -ENOEXEC;
}

}  // namespace

i64 find_interpreter(const FileHead& head, char* buffer, const char** name) {
  InterpreterSearch search{head, buffer, nullptr};
  i64 result = for_each_segment(head, visit_interpreter, &search);
  // An empty name is no loader either.
  *name = result == kFound && search.name[0] != 0 ? search.name : nullptr;
  return result < 0 ? result : 0;
}

namespace {

i64 visit_window(void*, const Elf64_Phdr& segment) {
  return segment.p_type == PT_LOAD && segment.p_vaddr == wire::kWindowBase ? kFound : 0;
}

}  // namespace

bool is_runtime(const FileHead& head) {
  return check_elf_header(head) == 0 && for_each_segment(head, visit_window, nullptr) == kFound;
}

i64 check_elf(const FileHead& head, char* buffer) {
  i64 result = check_elf_header(head);
  if (result < 0) return result;
  const char* interpreter;
  result = find_interpreter(head, buffer, &interpreter);
  if (result < 0 || interpreter == nullptr) return result;
  result = check_permission({AT_FDCWD, interpreter, 0});
  if (result < 0) return result;
  if (text_hash(interpreter) == g_private.interpreter) return 0;
  FileHead interpreter_head;
  result = open_permitted(interpreter, &interpreter_head);
  if (result < 0) return result;
  result = check_elf_header(interpreter_head);
  raw_syscall(__NR_close, interpreter_head.fd);
  return result == -ENOEXEC ? -ELIBBAD : result;
}

}  // namespace stasis::runtime
