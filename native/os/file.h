// Files and directories by descriptor: the calls that reading, writing and committing an image needs. Every descriptor
// is close-on-exec, every transfer is restarted after EINTR and after a short count, and every error names the call and
// the path.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "os/unique_fd.h"

namespace stasis {

struct FileStatus {
  std::uint64_t device = 0, inode = 0;
  std::uint64_t bytes = 0;
  std::uint32_t mode = 0;  // type and permissions, as in st_mode
  std::int64_t modified_ns = 0, changed_ns = 0;

  bool is_regular() const;
};

// openat(2) with O_CLOEXEC added; `directory` may be AT_FDCWD. `doing` and `path` go into the error.
Result<UniqueFd> open_file_at(int directory, const std::string& path, int flags, unsigned mode, std::string doing);

// A directory to search in and to sync, O_RDONLY.
Result<UniqueFd> open_directory(const std::string& path, std::string doing);

Result<FileStatus> status_of(int fd, const std::string& path);

// Reads at `offset` until `into` is full or the file ends; the count read is less than asked only at the end of the
// file.
Result<std::size_t> read_at(int fd, std::span<std::uint8_t> into, std::uint64_t offset, const std::string& path);

// Writes all of `bytes` at `offset`. A full disk, an exhausted quota and a file size limit have a remedy in the error.
Status write_at(int fd, std::span<const std::uint8_t> bytes, std::uint64_t offset, const std::string& path);

// fsync(2). Descriptors of file systems that cannot sync a directory (EINVAL, ENOTSUP) count as synced.
Status sync_file(int fd, const std::string& path);

// Renames without replacing anything: EEXIST and ENOTEMPTY become ErrorKind::Busy. Where the file system does not know
// RENAME_NOREPLACE (EINVAL), plain rename(2), which refuses a directory that is not empty.
Status rename_without_replacing(const std::string& from, const std::string& to);

// Writes `name` in `directory` by way of a temporary file and rename, so that readers see the old content or the new.
Status replace_file_at(int directory, const std::string& name, std::span<const std::uint8_t> content, unsigned mode);

// CLOCK_REALTIME_COARSE, ns: the clock that file systems take time stamps from.
std::int64_t file_clock_ns();

}  // namespace stasis
