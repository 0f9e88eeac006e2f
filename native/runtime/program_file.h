// Looking at a program's file before it is executed: permission, `#!`, ELF headers; with the errors and in the order of
// the kernel (fs/exec.c, fs/binfmt_script.c, fs/binfmt_elf.c).
#pragma once

#include <linux/elf.h>

#include "wire/types.h"

namespace stasis::runtime {

inline constexpr u64 kScriptHeadBytes = 256;  // BINPRM_BUF_SIZE

// A file named as the *at calls do.
struct FileName {
  i32 directory;
  const char* path;
  u64 flags;  // AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW
};

// May the caller execute the file? 0, or -ENOENT, -EACCES, -ELOOP, -ENOTDIR, ...
i64 check_permission(const FileName& name);

struct ScriptLine {
  const char* interpreter;
  const char* argument;  // null for none
};

// Splits a `#!` line in place. `head` holds the first 256 bytes of the file, zero-filled. 0 or -ENOEXEC.
i64 parse_script(char* head, ScriptLine* line);

// Reads and checks an ELF header for this machine. 0, -ENOEXEC (also for 32-bit files), or a read error.
i64 read_elf_header(i32 fd, Elf64_Ehdr* header);

// Visits the program headers in order. `visit(context, header)` returns 0 to go on; anything else ends and is returned.
i64 for_each_segment(i32 fd, const Elf64_Ehdr& header, i64 (*visit)(void*, const Elf64_Phdr&), void* context);

// PT_INTERP into `path`, or an empty string. `capacity` is PATH_MAX. 0 or -ENOEXEC.
i64 read_interpreter(i32 fd, const Elf64_Ehdr& header, char* path, u64 capacity);

// True if the ELF file at `path` is a runtime: linked into the window.
bool is_runtime(const char* path);

// Everything that can be told of an ELF program before it replaces the caller, its PT_INTERP included; `interpreter` is
// scratch memory of PATH_MAX bytes. 0 or why exec would fail.
i64 check_elf(i32 fd, char* interpreter);

}  // namespace stasis::runtime
