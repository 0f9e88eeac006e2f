// Images as files: opening and verifying an image's directory, writing page files, committing.
//
// Reading. open_image reads image.stasis, decodes and validates it, opens `runtime` and every page file (never through
// a symbolic link), compares sizes and checksums and keeps the descriptors, so that what was verified is what will be
// mapped. Nothing in the image's directory is ever written.
//
// Stamps. Hashing a page file costs far more than mapping it. Whoever computed its checksums, the checkpoint that wrote
// it or a verification that read it, leaves a stamp `DEVICE-INODE` in a directory of the user's own (docs/adr/0005):
// size, modification time, change time, checksum of the records. A file with a matching stamp is not read again. A
// stamp is left only once the clock that file systems take their times from has moved past the change time: a write in
// the same tick would not show in it.
//
// Writing. The checkpoint makes a partial directory, adds page files (PageFileWriter) and the runtime (add_runtime),
// then commit_image writes image.stasis, syncs everything and renames the directory into place without replacing
// anything.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/checksum.h"
#include "image/image.h"
#include "os/file.h"
#include "os/unique_fd.h"

namespace stasis::image {

// A page file whose size, and as asked its content, was found right. The descriptor is O_RDONLY.
struct OpenedPageFile {
  UniqueFd fd;
  std::string path;
  FileStatus status;
  bool hashed = false;  // the checksums were computed now, not taken from a stamp
};

struct OpenedImage {
  Image image;
  std::string path;                        // of the directory, as given
  std::vector<OpenedPageFile> page_files;  // as image.page_files
  UniqueFd runtime;                        // `runtime`, verified
};

enum class Verification {
  Stamped,  // page files with a matching stamp are trusted, others are read and then stamped
  Full,     // every page file is read, then stamped
};

struct OpenOptions {
  std::string stamp_directory;  // absolute; empty: no stamps are read or left
  Verification verification = Verification::Stamped;
};

// The image in directory `path`. NotFound if there is no such directory; Damaged, with path and offset, for an image
// that is incomplete, altered or foreign; Incompatible as decode() says.
Result<OpenedImage> open_image(const std::string& path, const OpenOptions& options);

// image.stasis alone, decoded but neither validated nor compared with the other files: for the inspector.
Result<Image> read_records(const std::string& path);
// The header alone.
Result<Header> read_header(const std::string& path);

// Leaves the stamp of a page file whose checksums are known to hold. Best effort: an error, or a file that changed in
// this very tick, leaves no stamp.
void leave_stamp(const std::string& stamp_directory, const FileStatus& status, std::uint64_t records_checksum);
// The stamp's name and its line of text, which tell one state of the file from any other.
std::string stamp_name(const FileStatus& status);
std::string stamp_text(const FileStatus& status, std::uint64_t records_checksum);
bool has_stamp(const std::string& stamp_directory, const FileStatus& status, std::uint64_t records_checksum);

// A page of kPageBytes, aligned or not, of zeros only.
bool is_zero_page(const void* page);

// Writes pages-N.raw front to back and computes the chunk checksums on the way. Used by one thread at a time.
class PageFileWriter {
 public:
  // Creates pages-`index`.raw in the directory; nothing of that name may be there.
  static Result<PageFileWriter> create(int directory, std::uint32_t index);

  // Appends whole pages and returns the offset of the first one. After an error the file is of no use.
  Result<std::uint64_t> append(std::span<const std::uint8_t> pages);

  // Appends whole pages of zeros, which take no room on the disk. Pages must be appended behind them.
  void append_hole(std::uint64_t bytes);

  std::uint64_t bytes() const { return bytes_; }

  // Syncs the file and gives its record. The writer is of no use afterwards but for fd().
  Result<PageFile> finish();

  int fd() const { return fd_.get(); }

 private:
  PageFileWriter(UniqueFd fd, std::string name) : fd_(std::move(fd)) { record_.file_name = std::move(name); }

  void add_to_checksums(std::span<const std::uint8_t> pages);

  UniqueFd fd_;
  PageFile record_;
  StreamingChecksum checksum_;
  std::uint64_t bytes_ = 0;
};

// Copies the runtime's file at `source` to `runtime` in the directory, synced, and fills file_bytes and file_checksum.
Status add_runtime(int directory, const std::string& source, Runtime& runtime);

// Writes image.stasis into the partial directory, syncs it and the directory, renames `partial` to `final`. Busy if
// something has the final name already. On an error the partial directory stays for the caller to remove. Returns the
// header as written.
Result<Header> commit_image(const Image& image, const std::string& partial, const std::string& final_path);

}  // namespace stasis::image
