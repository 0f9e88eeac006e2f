// Opening and verifying an image's directory.
#include "image/files.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "wire/layout.h"

namespace stasis::image {

namespace {

// Far above what records need (some hundred bytes for a mapping, 28 for a run of pages); keeps a sparse file from
// filling memory.
constexpr std::uint64_t kMaxImageBytes = 1ull << 30;
constexpr std::size_t kReadBytes = 1 << 20;

Error damaged(std::string what, std::string path, std::uint64_t offset) {
  return Error::plain(ErrorKind::Damaged, std::move(what))
      .with_path(std::move(path))
      .with_offset(static_cast<std::int64_t>(offset));
}

Result<UniqueFd> open_image_directory(const std::string& path) {
  auto directory = open_directory(path, "opening the image");
  if (!directory.ok() && directory.error().error == ENOTDIR) {
    return Error::plain(ErrorKind::Damaged, "opening the image: not a Stasis image, which is a directory")
        .with_path(path);
  }
  return directory;
}

struct OpenedFile {
  UniqueFd fd;
  FileStatus status;
};

// A regular file of the image. O_NONBLOCK keeps a FIFO of that name from blocking the open; it means nothing for
// regular files.
Result<OpenedFile> open_part(int directory, const std::string& name, const std::string& path) {
  auto fd =
      open_file_at(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, "opening a file of the image");
  if (!fd.ok()) {
    Error error = std::move(fd).error().with_path(path);
    if (error.error == ENOENT || error.error == ELOOP || error.error == ENXIO) {
      error.kind = ErrorKind::Damaged;
      error.doing =
          error.error == ENOENT ? "opening the image: a file is missing" : "opening the image: not a regular file";
    }
    return error;
  }
  OpenedFile file{std::move(fd).value(), {}};
  file.status = STASIS_TRY(status_of(file.fd.get(), path));
  if (!file.status.is_regular()) return damaged("opening the image: not a regular file", path, 0);
  return file;
}

Result<std::vector<std::uint8_t>> read_image_file(const std::string& directory_path, std::uint64_t limit) {
  const std::string path = directory_path + "/" + kImageFileName;
  auto directory = STASIS_TRY(open_image_directory(directory_path));
  auto file = STASIS_TRY(open_part(directory.get(), kImageFileName, path));
  if (file.status.bytes > kMaxImageBytes)
    return damaged("reading the image: larger than any image", path, kMaxImageBytes);
  std::vector<std::uint8_t> bytes(std::min(file.status.bytes, limit));
  bytes.resize(STASIS_TRY(read_at(file.fd.get(), bytes, 0, path)));
  return bytes;
}

template <class T>
Result<T> with_image_path(Result<T> result, const std::string& directory_path) {
  if (!result.ok()) result.error().path = directory_path + "/" + kImageFileName;
  return result;
}

Status check_size(const FileStatus& status, std::uint64_t expected, const std::string& path) {
  if (status.bytes == expected) return {};
  return damaged("checking the image: the file has " + std::to_string(status.bytes) + " bytes in place of " +
                     std::to_string(expected),
                 path, std::min(status.bytes, expected));
}

// XXH64 of `bytes` bytes at `offset`, read through `buffer`.
Result<std::uint64_t> hash_range(int fd, std::uint64_t offset, std::uint64_t bytes, std::vector<std::uint8_t>& buffer,
                                 const std::string& path) {
  StreamingChecksum checksum;
  while (bytes > 0) {
    const auto piece = std::span(buffer).first(std::min<std::uint64_t>(bytes, buffer.size()));
    const std::size_t count = STASIS_TRY(read_at(fd, piece, offset, path));
    if (count < piece.size())
      return damaged("checking the image: the file became shorter while it was read", path, offset + count);
    checksum.update(piece);
    offset += count;
    bytes -= count;
  }
  return checksum.value();
}

Status check_chunks(int fd, const PageFile& record, const std::string& path) {
  std::vector<std::uint8_t> buffer(std::min<std::uint64_t>(kReadBytes, record.file_bytes));
  for (std::size_t i = 0; i < record.chunk_checksums.size(); ++i) {
    const std::uint64_t offset = std::uint64_t{i} * record.chunk_bytes;
    const std::uint64_t bytes = std::min<std::uint64_t>(record.chunk_bytes, record.file_bytes - offset);
    if (STASIS_TRY(hash_range(fd, offset, bytes, buffer, path)) != record.chunk_checksums[i]) {
      return damaged("checking the image: the checksum of " + std::to_string(bytes) + " bytes of pages does not match",
                     path, offset);
    }
  }
  return {};
}

Result<OpenedPageFile> open_page_file(int directory, const PageFile& record, std::uint64_t records_checksum,
                                      const std::string& directory_path, const OpenOptions& options) {
  OpenedPageFile opened;
  opened.path = directory_path + "/" + record.file_name;
  auto file = STASIS_TRY(open_part(directory, record.file_name, opened.path));
  STASIS_TRY(check_size(file.status, record.file_bytes, opened.path));
  const bool stamped = options.verification == Verification::Stamped && !options.stamp_directory.empty() &&
                       has_stamp(options.stamp_directory, file.status, records_checksum);
  if (!stamped) {
    STASIS_TRY(check_chunks(file.fd.get(), record, opened.path));
    const FileStatus after = STASIS_TRY(status_of(file.fd.get(), opened.path));
    if (after.modified_ns != file.status.modified_ns || after.changed_ns != file.status.changed_ns) {
      return damaged("checking the image: the file was changed while it was read", opened.path, 0);
    }
    opened.hashed = true;
    if (!options.stamp_directory.empty()) leave_stamp(options.stamp_directory, file.status, records_checksum);
  }
  opened.fd = std::move(file.fd);
  opened.status = file.status;
  return opened;
}

Result<UniqueFd> open_runtime(int directory, const Runtime& record, const std::string& directory_path) {
  const std::string path = directory_path + "/" + kRuntimeFileName;
  auto file = STASIS_TRY(open_part(directory, kRuntimeFileName, path));
  STASIS_TRY(check_size(file.status, record.file_bytes, path));
  std::vector<std::uint8_t> buffer(std::min<std::uint64_t>(kReadBytes, record.file_bytes));
  if (STASIS_TRY(hash_range(file.fd.get(), 0, record.file_bytes, buffer, path)) != record.file_checksum) {
    return damaged("checking the image: the checksum of the runtime does not match", path, 0);
  }
  return std::move(file.fd);
}

}  // namespace

Result<OpenedImage> open_image(const std::string& path, const OpenOptions& options) {
  OpenedImage opened;
  opened.path = path;
  const auto bytes = STASIS_TRY(read_image_file(path, kMaxImageBytes));
  opened.image = STASIS_TRY(with_image_path(decode(bytes), path));
  const Image& image = opened.image;
  auto directory = STASIS_TRY(open_image_directory(path));
  opened.runtime = STASIS_TRY(open_runtime(directory.get(), image.runtime, path));
  for (const PageFile& record : image.page_files) {
    opened.page_files.push_back(
        STASIS_TRY(open_page_file(directory.get(), record, image.header.records_checksum, path, options)));
  }
  return opened;
}

Result<Image> read_records(const std::string& path) {
  const auto bytes = STASIS_TRY(read_image_file(path, kMaxImageBytes));
  return with_image_path(decode_unchecked(bytes), path);
}

Result<Header> read_header(const std::string& path) {
  const auto bytes = STASIS_TRY(read_image_file(path, kHeaderBytes));
  return with_image_path(decode_header(bytes), path);
}

}  // namespace stasis::image
