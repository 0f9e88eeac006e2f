// Error: what failed, while doing what, to which process, fd or address, and with which errno.
//
// `kind` decides the exit code of the command line and the code of the JavaScript error (src/errors.ts holds the same table; a test
// keeps them equal). Host code returns Error by value inside Result<T>; freestanding code uses wire::Report instead.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace stasis {

enum class ErrorKind {
  Failed,        // exit 1
  Usage,         // exit 2
  Unsupported,   // exit 3: a resource that cannot be saved
  Incompatible,  // exit 4: this host or the files on it do not fit the image
  Damaged,       // exit 5: an image that is truncated, altered or foreign
  NotFound,      // exit 6
  Busy,          // exit 7
  Permission,    // exit 8
  Timeout,       // exit 9
  Cancelled,     // the caller's AbortSignal
};

struct Error {
  ErrorKind kind = ErrorKind::Failed;
  int error = 0;              // errno, 0 if no system call failed
  const char* syscall = "";   // its name, static storage
  std::string doing;          // "reading the registers", without the subject
  std::string remedy;         // what the user can do; may be empty
  std::string path;           // subject, where one applies
  int pid = 0, tid = 0;       // 0: none
  int fd = -1;                // -1: none
  std::uint64_t address = 0;  // 0: none
  std::uint64_t length = 0;
  std::int64_t offset = -1;          // place in a damaged file, -1: none
  std::vector<std::string> details;  // one line per further finding, such as every resource that cannot be saved

  // One sentence: doing, subject, errno text, remedy.
  std::string message() const;

  static Error of_errno(const char* syscall,
                        std::string doing);  // takes errno; kind from EPERM/EACCES, ENOENT, EBUSY, ETIMEDOUT
  static Error of_errno(int error, const char* syscall, std::string doing);
  static Error plain(ErrorKind kind, std::string doing, std::string remedy = {});

  // Chained setters, for use at the point of return.
  Error&& with_kind(ErrorKind k) && {
    kind = k;
    return std::move(*this);
  }
  Error&& with_pid(int p) && {
    pid = p;
    return std::move(*this);
  }
  Error&& with_tid(int t) && {
    tid = t;
    return std::move(*this);
  }
  Error&& with_fd(int f) && {
    fd = f;
    return std::move(*this);
  }
  Error&& with_path(std::string p) && {
    path = std::move(p);
    return std::move(*this);
  }
  Error&& with_range(std::uint64_t a, std::uint64_t n) && {
    address = a;
    length = n;
    return std::move(*this);
  }
  Error&& with_offset(std::int64_t o) && {
    offset = o;
    return std::move(*this);
  }
  Error&& with_remedy(std::string r) && {
    remedy = std::move(r);
    return std::move(*this);
  }
};

const char* name_of(ErrorKind kind);

}  // namespace stasis
