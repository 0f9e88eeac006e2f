#include "restore/file_contents.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "image/shared_files.h"
#include "os/file.h"
#include "os/file_users.h"

namespace stasis::restore {

namespace {

constexpr std::size_t kChunkBytes = 1 << 20;
constexpr const char* kDoing = "putting back a file that the application uses";

Error in_the_way(const std::string& path, const std::string& how, const std::string& remedy) {
  return Error::plain(ErrorKind::Failed, std::string(kDoing) + ": " + how, remedy).with_path(path);
}

// What the image says of the file's size and time, by whoever has it open or mapped; nothing if nobody has.
struct Stamp {
  std::uint64_t bytes;
  std::int64_t modified_ns;
};
std::optional<Stamp> stamp_of(const image::Image& image, const std::string& path) {
  for (const image::OpenFile& file : image.open_files) {
    if (file.memory == 0 && file.path == path) return Stamp{file.file_bytes, file.file_modified_ns};
  }
  for (const image::ProcessImage& section : image.processes) {
    for (const image::Mapping& mapping : section.mappings) {
      if (mapping.source == image::MappingSource::File && mapping.path == path)
        return Stamp{mapping.file_bytes, mapping.file_modified_ns};
    }
  }
  return std::nullopt;
}

// Reads the content that the image holds, a chunk after the other.
class SavedContent {
 public:
  SavedContent(const image::SharedMemory& memory, const RestoreInputs& inputs) : memory_(memory), inputs_(inputs) {}

  // `into` gets the bytes at `offset`; true if any of them may be something else than zero.
  Result<bool> read(std::uint64_t offset, std::vector<std::uint8_t>& into) {
    std::fill(into.begin(), into.end(), 0);
    bool any = false;
    const std::uint64_t end = offset + into.size();
    for (const image::PageRun& run : memory_.runs) {
      const std::uint64_t from = std::max(run.address, offset), to = std::min(run.address + run.length, end);
      if (from >= to) continue;
      any = true;
      const PageFileLocation& location = inputs_.page_files[run.page_file];
      if (!file_.has_value() || open_ != run.page_file) {
        file_ = STASIS_TRY(open_file_at(AT_FDCWD, location.path, O_RDONLY, 0, kDoing));
        open_ = run.page_file;
      }
      const std::span<std::uint8_t> part(into.data() + (from - offset), to - from);
      const std::size_t got =
          STASIS_TRY(read_at(file_->get(), part, run.file_offset + (from - run.address), location.path));
      if (got != part.size()) return in_the_way(location.path, "the page file is too short", "");
    }
    return any;
  }

 private:
  const image::SharedMemory& memory_;
  const RestoreInputs& inputs_;
  std::optional<UniqueFd> file_;
  std::uint32_t open_ = 0;
};

Result<bool> has_content(const image::SharedMemory& memory, const RestoreInputs& inputs) {
  auto file = STASIS_TRY(open_file_at(AT_FDCWD, memory.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, kDoing));
  SavedContent saved(memory, inputs);
  std::vector<std::uint8_t> then, now;
  for (std::uint64_t at = 0; at < memory.bytes; at += kChunkBytes) {
    then.resize(std::min<std::uint64_t>(kChunkBytes, memory.bytes - at));
    now.resize(then.size());
    STASIS_TRY(saved.read(at, then));
    if (STASIS_TRY(read_at(file.get(), now, at, memory.name)) != now.size() || then != now) return false;
  }
  return true;
}

std::string name_beside(const std::string& path) {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof number, GRND_NONBLOCK) < 0) number = static_cast<std::uint64_t>(file_clock_ns());
  char name[32];
  std::snprintf(name, sizeof name, ".stasis-%016lx", number);
  return path.substr(0, path.rfind('/') + 1) + name;
}

Status write_content(const image::SharedMemory& memory, const RestoreInputs& inputs, const UniqueFd& file,
                     const std::string& path) {
  if (::ftruncate(file.get(), static_cast<off_t>(memory.bytes)) != 0)
    return Error::of_errno("ftruncate", kDoing).with_path(path);
  SavedContent saved(memory, inputs);
  std::vector<std::uint8_t> bytes;
  for (std::uint64_t at = 0; at < memory.bytes; at += kChunkBytes) {
    bytes.resize(std::min<std::uint64_t>(kChunkBytes, memory.bytes - at));
    if (STASIS_TRY(saved.read(at, bytes))) STASIS_TRY(write_at(file.get(), bytes, at, path));
  }
  return {};
}

std::string process_text(pid_t pid) { return "process " + std::to_string(pid); }

}  // namespace

Status FileContents::decide_one(const image::Image& image, const RestoreInputs& inputs, std::size_t index) {
  const image::SharedMemory& memory = image.shared_memory[index];
  const std::string& path = memory.name;
  const bool shared = image::is_shared_file(path), puts_back = inputs.changed_files == ChangedFiles::RestoreContent;
  const auto stamp = stamp_of(image, path);
  struct stat now;
  if (::lstat(path.c_str(), &now) != 0) {
    if (errno != ENOENT || (!shared && !puts_back)) return {};
    settled_.insert(path);
    missing_.insert(path);
    changes_.push_back({index, path, {}, stamp ? stamp->modified_ns : 0, false, false});
    return {};
  }
  if (!S_ISREG(now.st_mode)) return {};  // files.cc has the words for that
  const bool same_size = static_cast<std::uint64_t>(now.st_size) == memory.bytes;
  if (!shared) {
    const std::int64_t modified = now.st_mtim.tv_sec * 1'000'000'000LL + now.st_mtim.tv_nsec;
    if (!puts_back || (same_size && stamp && modified == stamp->modified_ns)) return {};
  }
  if (shared && inputs.changed_files == ChangedFiles::Keep) {
    if (!same_size) return in_the_way(path, "it has another size than at the checkpoint", "put back the file of then");
    settled_.insert(path);
    return {};
  }
  const FileUser user = is_unused_file(path) ? FileUser{} : find_file_user({{now.st_dev, now.st_ino}}, {});
  if (user.pid != 0) {
    return in_the_way(path, process_text(user.pid) + " has it open or mapped",
                      shared ? "end that process, or restore with --files keep to use it together"
                             : "end that process first, which would go on with a file of no name");
  }
  settled_.insert(path);
  if (same_size && STASIS_TRY(has_content(memory, inputs))) return {};
  if (!puts_back) {
    return in_the_way(path, "its content is not that of the checkpoint",
                      "remove it, or restore with --files restore-content to put the content back, or with --files "
                      "keep to go on with what it has");
  }
  if (now.st_nlink > 1) return in_the_way(path, "it has several names, of which one would change", "remove the others");
  changes_.push_back({index, path, {}, stamp ? stamp->modified_ns : 0, true, false});
  return {};
}

Result<FileContents> FileContents::decide(const image::Image& image, const RestoreInputs& inputs) {
  FileContents contents;
  for (std::size_t i = 0; i < image.shared_memory.size(); ++i) {
    if (image.shared_memory[i].kind == image::SharedMemoryKind::File) STASIS_TRY(contents.decide_one(image, inputs, i));
  }
  return contents;
}

Status FileContents::put(const image::SharedMemory& memory, const RestoreInputs& inputs, Change& change) {
  const std::string beside = name_beside(change.path);
  auto file = STASIS_TRY(open_file_at(AT_FDCWD, beside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, kDoing));
  change.beside = beside;
  STASIS_TRY(write_content(memory, inputs, file, change.path));
  // Its owner where that is not who restores; without the privilege it is who restores.
  if (memory.system.uid != ::geteuid() || memory.system.gid != ::getegid()) {
    if (::fchown(file.get(), memory.system.uid, memory.system.gid) != 0 && errno != EPERM)
      return Error::of_errno("fchown", kDoing).with_path(change.path);
  }
  const timespec times[2] = {{0, UTIME_OMIT}, {change.modified_ns / 1'000'000'000, change.modified_ns % 1'000'000'000}};
  if (::fchmod(file.get(), memory.mode) != 0 || ::futimens(file.get(), times) != 0)
    return Error::of_errno("fchmod", kDoing).with_path(change.path);
  const unsigned flags = change.replaces ? RENAME_EXCHANGE : RENAME_NOREPLACE;
  if (::renameat2(AT_FDCWD, beside.c_str(), AT_FDCWD, change.path.c_str(), flags) != 0)
    return Error::of_errno("renameat2", kDoing).with_path(change.path);
  change.done = true;
  return {};
}

Status FileContents::put_in_place(const image::Image& image, const RestoreInputs& inputs) {
  for (Change& change : changes_) {
    Status done = put(image.shared_memory[change.memory], inputs, change);
    if (done.ok()) continue;
    take_back();
    return done;
  }
  return {};
}

void FileContents::keep() {
  for (const Change& change : changes_) {
    if (change.replaces && change.done) ::unlink(change.beside.c_str());
  }
  changes_.clear();
}

void FileContents::take_back() {
  for (const Change& change : changes_) {
    if (change.beside.empty()) continue;
    if (!change.done || change.replaces) {
      if (change.done) ::renameat2(AT_FDCWD, change.beside.c_str(), AT_FDCWD, change.path.c_str(), RENAME_EXCHANGE);
      ::unlink(change.beside.c_str());
    } else {
      ::unlink(change.path.c_str());
    }
  }
  changes_.clear();
}

FileContents& FileContents::operator=(FileContents&& other) noexcept {
  if (this == &other) return *this;
  take_back();
  settled_ = std::move(other.settled_);
  missing_ = std::move(other.missing_);
  changes_ = std::move(other.changes_);
  other.changes_.clear();
  return *this;
}

}  // namespace stasis::restore
