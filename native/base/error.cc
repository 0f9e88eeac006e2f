#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace stasis {

namespace {

ErrorKind kind_of_errno(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return ErrorKind::Permission;
    case ENOENT:
    case ESRCH:
      return ErrorKind::NotFound;
    case EBUSY:
      return ErrorKind::Busy;
    case ETIMEDOUT:
      return ErrorKind::Timeout;
    default:
      return ErrorKind::Failed;
  }
}

}  // namespace

Error Error::of_errno(const char* syscall, std::string doing) { return of_errno(errno, syscall, std::move(doing)); }

Error Error::of_errno(int error, const char* syscall, std::string doing) {
  Error e;
  e.kind = kind_of_errno(error);
  e.error = error;
  e.syscall = syscall;
  e.doing = std::move(doing);
  return e;
}

Error Error::plain(ErrorKind kind, std::string doing, std::string remedy) {
  Error e;
  e.kind = kind;
  e.doing = std::move(doing);
  e.remedy = std::move(remedy);
  return e;
}

std::string Error::message() const {
  std::string text = doing;
  auto add = [&](const std::string& part) { text += ", " + part; };
  if (pid != 0) add("process " + std::to_string(pid));
  if (tid != 0) add("thread " + std::to_string(tid));
  if (fd >= 0) add("fd " + std::to_string(fd));
  if (!path.empty()) add(path);
  if (address != 0) {
    char range[64];
    std::snprintf(range, sizeof range, "address 0x%llx+0x%llx", static_cast<unsigned long long>(address),
                  static_cast<unsigned long long>(length));
    add(range);
  }
  if (offset >= 0) add("offset " + std::to_string(offset));
  if (error != 0)
    text += std::string(": ") + (syscall[0] != '\0' ? std::string(syscall) + ": " : "") + std::strerror(error);
  if (!remedy.empty()) text += "; " + remedy;
  return text;
}

const char* name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Failed:
      return "FAILED";
    case ErrorKind::Usage:
      return "USAGE";
    case ErrorKind::Unsupported:
      return "UNSUPPORTED";
    case ErrorKind::Incompatible:
      return "INCOMPATIBLE";
    case ErrorKind::Damaged:
      return "DAMAGED";
    case ErrorKind::NotFound:
      return "NOT_FOUND";
    case ErrorKind::Busy:
      return "BUSY";
    case ErrorKind::Permission:
      return "PERMISSION";
    case ErrorKind::Timeout:
      return "TIMEOUT";
    case ErrorKind::Cancelled:
      return "CANCELLED";
  }
  return "FAILED";
}

}  // namespace stasis
