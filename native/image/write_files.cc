// Writing an image: page files, the runtime's copy, image.stasis, and the rename that makes it all appear at once.
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "image/files.h"
#include "wire/layout.h"

namespace stasis::image {

namespace {

constexpr int kCreate = O_CREAT | O_EXCL | O_NOFOLLOW;
constexpr unsigned kPrivate = 0600;  // an image holds everything the program had in memory
constexpr unsigned kPrivateProgram = 0700;
constexpr std::size_t kCopyBytes = 1 << 18;

std::string parent_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

bool is_zero_page(const void* page) {
  // The page equals itself moved by a word, and the word is zero. memcmp is vectorised and stops at the first
  // difference.
  const auto* bytes = static_cast<const char*>(page);
  std::uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word == 0 && std::memcmp(bytes, bytes + sizeof word, wire::kPageBytes - sizeof word) == 0;
}

Result<PageFileWriter> PageFileWriter::create(int directory, std::uint32_t index) {
  std::string name = "pages-" + std::to_string(index) + ".raw";
  auto fd = STASIS_TRY(open_file_at(directory, name, O_WRONLY | kCreate, kPrivate, "creating a page file"));
  PageFileWriter writer(std::move(fd), std::move(name));
  writer.record_.chunk_bytes = kChunkBytes;
  return writer;
}

Result<std::uint64_t> PageFileWriter::append(std::span<const std::uint8_t> pages) {
  STASIS_CHECK(pages.size() % wire::kPageBytes == 0);
  const std::uint64_t start = bytes_;
  STASIS_TRY(write_at(fd_.get(), pages, start, record_.file_name));
  add_to_checksums(pages);
  return start;
}

void PageFileWriter::append_hole(std::uint64_t bytes) {
  static constexpr std::array<std::uint8_t, 16 * wire::kPageBytes> kZeros{};
  STASIS_CHECK(bytes % wire::kPageBytes == 0);
  while (bytes > 0) {
    const std::uint64_t piece = std::min<std::uint64_t>(bytes, kZeros.size());
    add_to_checksums(std::span(kZeros).first(piece));
    bytes -= piece;
  }
}

void PageFileWriter::add_to_checksums(std::span<const std::uint8_t> pages) {
  while (!pages.empty()) {
    const std::size_t piece = std::min<std::size_t>(pages.size(), kChunkBytes - bytes_ % kChunkBytes);
    checksum_.update(pages.first(piece));
    bytes_ += piece;
    pages = pages.subspan(piece);
    if (bytes_ % kChunkBytes == 0) {
      record_.chunk_checksums.push_back(checksum_.value());
      checksum_.reset();
    }
  }
}

Result<PageFile> PageFileWriter::finish() {
  if (bytes_ % kChunkBytes != 0) record_.chunk_checksums.push_back(checksum_.value());
  record_.file_bytes = bytes_;
  STASIS_TRY(sync_file(fd_.get(), record_.file_name));
  return std::move(record_);
}

Status add_runtime(int directory, const std::string& source, Runtime& runtime) {
  auto from = STASIS_TRY(open_file_at(AT_FDCWD, source, O_RDONLY, 0, "opening the runtime"));
  auto to =
      STASIS_TRY(open_file_at(directory, kRuntimeFileName, O_WRONLY | kCreate, kPrivateProgram, "copying the runtime"));
  std::vector<std::uint8_t> buffer(kCopyBytes);
  StreamingChecksum checksum;
  std::uint64_t offset = 0;
  for (;;) {
    const std::size_t count = STASIS_TRY(read_at(from.get(), buffer, offset, source));
    const auto piece = std::span(buffer).first(count);
    STASIS_TRY(write_at(to.get(), piece, offset, kRuntimeFileName));
    checksum.update(piece);
    offset += count;
    if (count < buffer.size()) break;
  }
  runtime.file_bytes = offset;
  runtime.file_checksum = checksum.value();
  return sync_file(to.get(), kRuntimeFileName);
}

Result<Header> commit_image(const Image& image, const std::string& partial, const std::string& final_path) {
  // What would be refused at the restore is refused now, while the application still runs. The fault is ours then, not
  // the image's.
  if (auto status = validate(image); !status.ok()) return std::move(status.error()).with_kind(ErrorKind::Failed);
  const auto bytes = encode(image);
  auto directory = STASIS_TRY(open_directory(partial, "opening the partial image"));
  auto file =
      STASIS_TRY(open_file_at(directory.get(), kImageFileName, O_WRONLY | kCreate, kPrivate, "creating the image"));
  STASIS_TRY(write_at(file.get(), bytes, 0, partial + "/" + kImageFileName));
  STASIS_TRY(sync_file(file.get(), partial + "/" + kImageFileName));
  STASIS_TRY(sync_file(directory.get(), partial));
  auto parent = STASIS_TRY(open_directory(parent_of(final_path), "opening the directory of the image"));
  STASIS_TRY(rename_without_replacing(partial, final_path));
  if (auto synced = sync_file(parent.get(), parent_of(final_path)); !synced.ok()) {
    // The name may be gone after a power failure: nobody may be told that the image is there.
    (void)rename_without_replacing(final_path, partial);
    return std::move(synced.error());
  }
  return decode_header(bytes);
}

}  // namespace stasis::image
