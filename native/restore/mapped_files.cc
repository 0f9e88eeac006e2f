#include "restore/mapped_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "image/checksum.h"
#include "os/build_id.h"

namespace stasis::restore {

namespace {

constexpr const char* kDoing = "checking a file that the application has mapped";

Error differs(const std::string& path, const std::string& how) {
  return Error::plain(ErrorKind::Incompatible, std::string(kDoing) + ": it " + how + " since the checkpoint",
                      "put back the file of then, or start the application anew")
      .with_path(path);
}

// Of a file of the right size. The change time of an inode cannot be set, so the same one with the same times is the file of then; what is
// another is compared.
Status check_identity(const image::Mapping& mapping, const FileStatus& now) {
  const bool same_time = now.modified_ns == mapping.file_modified_ns;
  const bool same =
      mapping.file_inode == 0 || (now.inode == mapping.file_inode && now.changed_ns == mapping.file_changed_ns);
  if (same_time && same) return {};
  if (mapping.file_build_id.empty() && mapping.file_checksum == 0)
    return same_time ? Status{} : differs(mapping.path, "was modified");
  UniqueFd file = STASIS_TRY(open_file_at(AT_FDCWD, mapping.path, O_RDONLY | O_NONBLOCK, 0, kDoing));
  if (!mapping.file_build_id.empty()) {
    if (build_id_of(file.get()) == mapping.file_build_id) return {};
    return differs(mapping.path, "was replaced by another build");
  }
  if (STASIS_TRY(image::checksum_of_file(file.get(), mapping.path)) == mapping.file_checksum) return {};
  return differs(mapping.path, "has changed its content");
}

}  // namespace

Result<FileStatus> MappedFiles::check(const image::Mapping& mapping) {
  if (auto found = checked_.find(mapping.path); found != checked_.end()) return found->second;
  if (missing_.contains(mapping.path)) return FileStatus{};
  // O_PATH asks for no permission and cannot block on a FIFO or a device that has taken the file's place.
  Result<UniqueFd> handle = open_file_at(AT_FDCWD, mapping.path, O_PATH, 0, kDoing);
  if (!handle.ok()) {
    return std::move(handle).error().with_kind(ErrorKind::Incompatible).with_remedy("put the file back where it was");
  }
  FileStatus status = STASIS_TRY(status_of(handle.value().get(), mapping.path));
  if (!status.is_regular()) return differs(mapping.path, "is no regular file any more");
  if (settled_.contains(mapping.path)) {
    checked_.emplace(mapping.path, status);
    return status;
  }
  if (status.bytes != mapping.file_bytes) {
    return differs(mapping.path, "has changed its size from " + std::to_string(mapping.file_bytes) + " to " +
                                     std::to_string(status.bytes) + " bytes");
  }
  STASIS_TRY(check_identity(mapping, status));
  checked_.emplace(mapping.path, status);
  return status;
}

}  // namespace stasis::restore
