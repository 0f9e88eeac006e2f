// Looking at a program's file before it is executed: permission, `#!`, ELF headers; with the errors and in the order of
// the kernel (fs/exec.c, fs/binfmt_script.c, fs/binfmt_elf.c).
#pragma once

#include <linux/elf.h>

#include "wire/types.h"

namespace stasis::runtime {

inline constexpr u64 kScriptHeadBytes = 256;  // BINPRM_BUF_SIZE
inline constexpr u64 kFileHeadBytes = 896;    // ELF header, 13 program headers, the name of a loader

// A file named as the *at calls do.
struct FileName {
  i32 directory;
  const char* path;
  u64 flags;  // AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW
};

// May the caller execute the file? 0, or -ENOENT, -EACCES, -ELOOP, -ENOTDIR, ... Without flags the kind of file is left to
// open_permitted().
i64 check_permission(const FileName& name);

struct ScriptLine {
  const char* interpreter;
  const char* argument;  // null for none
};

// Splits a `#!` line in place. `head` holds the first 256 bytes of the file, zero-filled. 0 or -ENOEXEC.
i64 parse_script(char* head, ScriptLine* line);

// The first bytes of an ELF file, in which its headers and its PT_INTERP usually lie: one read serves everything that is
// asked of a program.
struct FileHead {
  i32 fd;
  u32 filled;
  alignas(8) u8 bytes[kFileHeadBytes];

  const Elf64_Ehdr& header() const { return *reinterpret_cast<const Elf64_Ehdr*>(bytes); }
};

// Reads the head and leaves it unchecked: short for a short file. 0 or a read error.
i64 read_head(i32 fd, FileHead* head);

// Opens a file that may be executed and reads its head. 0 or -errno; -EACCES for what is no regular file. No device is ever
// opened so, since none may be executed.
i64 open_permitted(const char* path, FileHead* head);

// Checks the ELF header for this machine. 0 or -ENOEXEC (also for 32-bit files).
i64 check_elf_header(const FileHead& head);

// Visits the program headers of a checked file in order. `visit(context, header)` returns 0 to go on; anything else ends
// and is returned.
i64 for_each_segment(const FileHead& head, i64 (*visit)(void*, const Elf64_Phdr&), void* context);

// The text of PT_INTERP in *name: null if there is none, and if it does not lie in the head it is read into `buffer` of
// PATH_MAX bytes. 0, -ENOEXEC or a read error.
i64 find_interpreter(const FileHead& head, char* buffer, const char** name);

// True if the file is a runtime: linked into the window.
bool is_runtime(const FileHead& head);

// Everything that can be told of an ELF program before it replaces the caller, its PT_INTERP included; `buffer` is
// scratch memory of PATH_MAX bytes. 0 or why exec would fail.
i64 check_elf(const FileHead& head, char* buffer);

}  // namespace stasis::runtime
