// Executing a program through the runtime: what a trapped execve does, and how a first launch starts its program.
#pragma once

#include "runtime/marker.h"
#include "runtime/scratch.h"
#include "wire/types.h"

namespace stasis::runtime {

struct ExecRequest {
  i32 directory;    // AT_FDCWD or as in execveat
  u64 path;         // addresses in the program
  u64 arguments;    // vector
  u64 environment;  // vector
  u64 flags;        // of execveat
  Marker marker;    // to be told to the next runtime; program_fd and name_index are filled in
  Scratch* scratch;
  // Prepared, in the scratch's room up to `used` and elsewhere:
  u64 used;
  char* name;           // what the program is called
  const char* program;  // the file to load
  bool starts_runtime;  // it is a runtime, executed as such
  u64 vector;           // result: the vector to execute with
  const char* file;     // result: the file to execute: the runtime's, or the program itself if that is a runtime
};

// Resolves path and `#!` lines, checks permission and format, builds the vector. Runs on the scratch stack. 0 or why
// the kernel would refuse to execute the program.
i64 prepare_exec(ExecRequest* request);

// First launch: executes `path` through the runtime. Returns only on failure, with -errno.
i64 exec_first(const char* path, char** arguments, char** environment, const Marker& marker);

}  // namespace stasis::runtime
