// From a command's first word to the program that the kernel would run, without running it: the search of execvp(3),
// then a look at the file, so that what cannot be launched is refused in clear words before anything has been started.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace stasis::launch {

struct ResolvedProgram {
  std::string path;  // as execve(2) gets it; relative to the working directory if PATH or the command is
  std::vector<std::string> arguments;  // argv
};

// What the head of a file says it is.
enum class ProgramKind {
  Elf64,    // of this architecture
  Elf32,    // any 32-bit program, x32 included
  Foreign,  // a 64-bit program of another architecture
  Script,   // starts with #!
  Text,     // anything else: execvp gives it to /bin/sh
};

struct ProgramHead {
  ProgramKind kind = ProgramKind::Text;
  std::string machine;      // Elf32, Foreign: for people
  std::string interpreter;  // Script; empty if none is named
};

// `head` is the start of the file; 256 bytes are what the kernel looks at (BINPRM_BUF_SIZE).
ProgramHead classify(std::string_view head);

// The value of a variable in an environment of `NAME=value` words; null if it is not set.
const char* environment_value(const std::vector<std::string>& environment, std::string_view name);

// `command` is not empty. NotFound if there is no such program or interpreter, Permission if it may not be executed or
// read (the runtime loads programs itself), Unsupported for 32-bit and foreign programs.
Result<ResolvedProgram> resolve_program(const std::vector<std::string>& command,
                                        const std::vector<std::string>& environment, const std::string& cwd);

}  // namespace stasis::launch
