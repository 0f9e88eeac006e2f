// install_runtime of start.h: a copy is written under a name of its own and renamed, so that a runtime is there whole
// or not at all.
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <vector>

#include "base/scope_exit.h"
#include "os/build_id.h"
#include "os/file.h"
#include "restore/start.h"
#include "wire/descriptor.h"
#include "wire/layout.h"
#include "wire/plan.h"

namespace stasis::restore {

namespace {

// A runtime is some tens of kilobytes; an image that brings more than this brings something else.
constexpr std::uint64_t kMaxRuntimeBytes = 16 << 20;

// The build id becomes a file name.
bool is_build_id(const std::string& text) {
  return text.size() >= 16 && text.size() <= 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

bool is_installed(const std::string& path, const std::string& build_id, std::uint64_t bytes) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return false;
  auto status = status_of(fd.get(), path);
  // A copy that a full disk cut short has the id but not the length.
  return status.ok() && status.value().bytes == bytes && build_id_of(fd.get()) == build_id;
}

std::string temporary_name(const std::string& path) {
  std::uint32_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) random = static_cast<std::uint32_t>(getpid());
  char suffix[16];
  std::snprintf(suffix, sizeof suffix, ".%08x", random);
  return path + suffix;
}

}  // namespace

std::string installed_runtime(const std::string& build_id, const std::string& directory) {
  const std::string path = directory + "/" + build_id;
  return is_build_id(build_id) && access(path.c_str(), X_OK) == 0 ? path : std::string();
}

std::uint32_t plan_version_of(const std::string& runtime_path) {
  // The image begins with the file's headers, and the descriptor lies in its first page (runtime.ld).
  UniqueFd file(open(runtime_path.c_str(), O_RDONLY | O_CLOEXEC));
  wire::Descriptor descriptor{};
  const std::size_t bytes = sizeof descriptor;
  const auto offset = static_cast<off_t>(wire::kDescriptorAddress - wire::kWindowBase);
  if (!file || pread(file.get(), &descriptor, bytes, offset) != static_cast<ssize_t>(bytes) ||
      descriptor.magic != wire::kDescriptorMagic || descriptor.version <= wire::kDescriptorVersionWithoutIds) {
    return wire::kPlanVersionWithoutIds;
  }
  return descriptor.version <= wire::kDescriptorVersionOfOneProcess ? wire::kPlanVersionOfOneProcess
                                                                    : wire::kPlanVersion;
}

Result<std::string> install_runtime(int file, const std::string& build_id, const std::string& directory) {
  const std::string path = directory + "/" + build_id;
  if (!is_build_id(build_id) || build_id_of(file) != build_id) {
    return Error::plain(ErrorKind::Damaged, "the image's runtime is not the one that its records name");
  }
  const FileStatus status = STASIS_TRY(status_of(file, "the image's runtime"));
  if (status.bytes > kMaxRuntimeBytes) return Error::plain(ErrorKind::Damaged, "the image's runtime is too large");
  if (is_installed(path, build_id, status.bytes)) return path;

  std::vector<std::uint8_t> content(status.bytes);
  const std::size_t got = STASIS_TRY(read_at(file, content, 0, "the image's runtime"));
  if (got != content.size()) return Error::plain(ErrorKind::Damaged, "the image's runtime is cut short");
  const std::string temporary = temporary_name(path);
  UniqueFd copy =
      STASIS_TRY(open_file_at(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL, 0500, "storing the runtime"));
  ScopeExit remove([&] { unlink(temporary.c_str()); });
  // For a program that gives up root, which then executes it by /proc/self/exe; the directory lets nobody else in.
  if (fchmod(copy.get(), 0555) != 0) return Error::of_errno("fchmod", "storing the runtime").with_path(temporary);
  STASIS_TRY(write_at(copy.get(), content, 0, temporary));
  STASIS_TRY(sync_file(copy.get(), temporary));
  // Closed first: a file that is open for writing cannot be executed (ETXTBSY).
  copy.reset();
  if (rename(temporary.c_str(), path.c_str()) != 0)
    return Error::of_errno("rename", "storing the runtime").with_path(path);
  remove.release();
  return path;
}

}  // namespace stasis::restore
