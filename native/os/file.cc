#include "os/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

namespace stasis {

namespace {

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000LL + time.tv_nsec; }

// What to do about the errors of writing that the user can do something about.
const char* remedy_of(int error) {
  switch (error) {
    case ENOSPC:
      return "free some space on that file system or choose another directory";
    case EDQUOT:
      return "the disk quota is exhausted: free some space or choose another directory";
    case EFBIG:
      return "the file size limit is too low: raise it (ulimit -f)";
    case EROFS:
      return "the file system is mounted read-only: choose another directory";
    default:
      return "";
  }
}

Error error_of(const char* syscall, std::string doing, const std::string& path) {
  const int error = errno;
  return Error::of_errno(error, syscall, std::move(doing)).with_path(path).with_remedy(remedy_of(error));
}

}  // namespace

bool FileStatus::is_regular() const { return S_ISREG(mode); }

Result<UniqueFd> open_file_at(int directory, const std::string& path, int flags, unsigned mode, std::string doing) {
  int fd;
  do {
    fd = ::openat(directory, path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return error_of("openat", std::move(doing), path);
  return UniqueFd(fd);
}

Result<UniqueFd> open_directory(const std::string& path, std::string doing) {
  return open_file_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, std::move(doing));
}

Result<FileStatus> status_of(int fd, const std::string& path) {
  struct stat s;
  if (::fstat(fd, &s) != 0) return error_of("fstat", "reading the file's status", path);
  FileStatus status;
  status.device = s.st_dev;
  status.inode = s.st_ino;
  status.bytes = static_cast<std::uint64_t>(s.st_size);
  status.mode = s.st_mode;
  status.modified_ns = nanoseconds(s.st_mtim);
  status.changed_ns = nanoseconds(s.st_ctim);
  return status;
}

Result<std::size_t> read_at(int fd, std::span<std::uint8_t> into, std::uint64_t offset, const std::string& path) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t count = ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (count == 0) break;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return error_of("pread", "reading", path).with_offset(static_cast<std::int64_t>(offset + done));
    done += static_cast<std::size_t>(count);
  }
  return done;
}

Status write_at(int fd, std::span<const std::uint8_t> bytes, std::uint64_t offset, const std::string& path) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return error_of("pwrite", "writing", path).with_offset(static_cast<std::int64_t>(offset + done));
    done += static_cast<std::size_t>(count);
  }
  return {};
}

Status sync_file(int fd, const std::string& path) {
  int result;
  do {
    result = ::fsync(fd);
  } while (result != 0 && errno == EINTR);
  // fsync(2): EINVAL for descriptors that do not support it, such as directories of some network file systems.
  if (result != 0 && errno != EINVAL && errno != ENOTSUP) return error_of("fsync", "writing to the disk", path);
  return {};
}

Status rename_without_replacing(const std::string& from, const std::string& to) {
  int result = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  if (result != 0 && errno == EINVAL) result = ::renameat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str());
  if (result == 0) return {};
  const bool taken = errno == EEXIST || errno == ENOTEMPTY;
  auto error = error_of("renameat2", "giving the directory its final name", to);
  if (taken) {
    error.kind = ErrorKind::Busy;
    error.remedy = "choose another name or remove what is there";
  }
  return error;
}

Status replace_file_at(int directory, const std::string& name, std::span<const std::uint8_t> content, unsigned mode) {
  const std::string temporary = "." + name + "." + std::to_string(::getpid()) + "." + std::to_string(::gettid());
  auto file = STASIS_TRY(
      open_file_at(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode, "creating a file"));
  auto written = write_at(file.get(), content, 0, temporary);
  if (written.ok() && ::renameat(directory, temporary.c_str(), directory, name.c_str()) == 0) return {};
  auto error = written.ok() ? error_of("renameat", "replacing a file", name) : written.error();
  ::unlinkat(directory, temporary.c_str(), 0);
  return error;
}

std::int64_t file_clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return nanoseconds(now);
}

}  // namespace stasis
