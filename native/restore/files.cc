// Open files: found again by path. The restored program goes on writing and reading at its old offsets, so a file that
// changed in the meantime could be corrupted, or could corrupt the program, without a word. Hence, for a regular file
//   opened for writing       size and modification time must be what they were;
//   with O_APPEND            it may have grown or have been written: appending truncates and overwrites nothing. One
//   that the program
//                            can read as well must not have become shorter;
//   opened for reading       it may have grown; otherwise size and time must be what they were.
// Directories must be there; device nodes must be the same device.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "os/file.h"
#include "restore/builders.h"

namespace stasis::restore {

namespace {

constexpr std::uint32_t kAccessMode = O_ACCMODE;
constexpr std::uint32_t kDropped = O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC;

constexpr const char* kDeleted = " (deleted)";  // what /proc writes behind the name of a file without one
constexpr const char* kDoing = "checking a file that the application has open";

Error refuse(const image::OpenFile& file, std::int32_t fd, const std::string& how, const std::string& remedy) {
  return Error::plain(ErrorKind::Failed, std::string(kDoing) + ": " + how, remedy).with_fd(fd).with_path(file.path);
}

const char* type_name(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "a regular file";
    case S_IFDIR:
      return "a directory";
    case S_IFCHR:
      return "a character device";
    case S_IFBLK:
      return "a block device";
    case S_IFIFO:
      return "a FIFO";
    case S_IFSOCK:
      return "a socket";
    case S_IFLNK:
      return "a symbolic link";
    default:
      return "something else";
  }
}

std::string size_change(const image::OpenFile& file, std::uint64_t now) {
  return "its size was " + std::to_string(file.file_bytes) + " bytes and is " + std::to_string(now) + " now";
}

Status check_content(const image::OpenFile& file, std::int32_t fd, const struct stat& now, ChangedFiles changed_files) {
  const auto bytes = static_cast<std::uint64_t>(now.st_size);
  const std::int64_t modified = now.st_mtim.tv_sec * 1'000'000'000LL + now.st_mtim.tv_nsec;
  const std::uint32_t access = file.flags & kAccessMode;
  const bool reads = access != O_WRONLY, writes = access != O_RDONLY;
  // Files without a size, as in /proc, get a new time whenever their inode is made.
  if (bytes == 0 && file.file_bytes == 0) return {};
  if (writes && (file.flags & O_APPEND) != 0) {
    if (!reads || bytes >= file.file_bytes) return {};
    return refuse(file, fd, size_change(file, bytes), "put back the file of then, or start the application anew");
  }
  if (bytes == file.file_bytes && modified == file.file_modified_ns) return {};
  if (!writes && bytes > file.file_bytes) return {};
  const std::string how = bytes == file.file_bytes ? "it was modified since the checkpoint" : size_change(file, bytes);
  if (changed_files == ChangedFiles::RestoreContent) {
    return refuse(file, fd, how + ", and the image does not have its content",
                  "make the checkpoint with --save-files, or put back the file of then");
  }
  return refuse(file, fd, how,
                writes
                    ? "the application would overwrite what was written since; put back the file of then, or restore "
                      "with --files keep to have it go on with the file as it is"
                    : "put back the file of then, or start the application anew");
}

Status check_open_file(const image::OpenFile& file, std::int32_t fd, const RestoreInputs& inputs) {
  struct stat now;
  if (inputs.missing_files.contains(file.path)) return {};
  const bool is_place = (file.flags & O_PATH) != 0;
  if (::fstatat(AT_FDCWD, file.path.c_str(), &now, is_place ? AT_SYMLINK_NOFOLLOW : 0) != 0) {
    return Error::of_errno("stat", kDoing)
        .with_kind(ErrorKind::Failed)
        .with_fd(fd)
        .with_path(file.path)
        .with_remedy("put the file back, or start the application anew");
  }
  if ((now.st_mode & S_IFMT) != (file.file_type & S_IFMT)) {
    return refuse(file, fd,
                  std::string("it was ") + type_name(file.file_type) + " and is " + type_name(now.st_mode) + " now",
                  "put back what was there");
  }
  if (S_ISCHR(now.st_mode) && file.device_number != 0 && now.st_rdev != file.device_number) {
    return refuse(file, fd, "it is another device than at the checkpoint", "put back the device node of then");
  }
  const std::uint32_t access = file.flags & kAccessMode;
  const int wanted = (access != O_WRONLY ? R_OK : 0) | (access != O_RDONLY ? W_OK : 0);
  if ((file.flags & O_PATH) == 0 && ::faccessat(AT_FDCWD, file.path.c_str(), wanted, AT_EACCESS) != 0) {
    return Error::of_errno("faccessat", kDoing)
        .with_fd(fd)
        .with_path(file.path)
        .with_remedy("give this user the access that the application had");
  }
  const bool checked = S_ISREG(now.st_mode) && !is_place && inputs.changed_files != ChangedFiles::Keep &&
                       !inputs.settled_files.contains(file.path);
  return checked ? check_content(file, fd, now, inputs.changed_files) : Status{};
}

Status check_cwd(const std::string& path) {
  struct stat now;
  // The runtime makes one without a name (runtime/restore_files.cc).
  if (path.ends_with(kDeleted) && ::stat(path.c_str(), &now) != 0 && errno == ENOENT) return {};
  if (::stat(path.c_str(), &now) != 0) {
    return Error::of_errno("stat", "checking the application's working directory")
        .with_kind(ErrorKind::Failed)
        .with_path(path)
        .with_remedy("make the directory again");
  }
  if (!S_ISDIR(now.st_mode)) {
    return Error::plain(ErrorKind::Failed, "the application's working directory is no directory any more")
        .with_path(path);
  }
  return {};
}

wire::LockEntry plan_lock(const image::FileLock& lock, std::uint64_t path) {
  return {.kind = static_cast<wire::LockKind>(lock.kind),
          .fd = static_cast<std::uint32_t>(lock.fd),
          .type = lock.type,
          .reserved = 0,
          .start = lock.start,
          .length = lock.length,
          .path = path};
}

// Locks of the open file description, and what else there is only now and then.
std::uint64_t plan_detail(const image::OpenFile& file, GroupBuilder& plan) {
  if (file.flock == 0 && file.locks.empty() && file.signal == 0 && !file.deleted) return 0;
  const std::uint64_t path = plan.add_string(file.path);
  std::vector<wire::LockEntry> locks;
  for (const image::FileLock& lock : file.locks) locks.push_back(plan_lock(lock, path));
  if (file.flock != 0) {
    locks.push_back({.kind = wire::LockKind::Whole,
                     .fd = 0,
                     .type = static_cast<std::uint32_t>(file.flock == 2 ? LOCK_EX : LOCK_SH),
                     .reserved = 0,
                     .start = 0,
                     .length = 0,
                     .path = path});
  }
  wire::FdDetail detail{};
  detail.locks = plan.bytes().add_array(locks);
  detail.signal = static_cast<std::uint32_t>(file.signal);
  detail.mode = file.mode;
  return plan.add_bytes({reinterpret_cast<const std::uint8_t*>(&detail), sizeof detail});
}

}  // namespace

void plan_locks(const image::Image& image, const image::ProcessImage& section, PlanBuilder& plan) {
  std::vector<wire::LockEntry> locks;
  for (const image::FileLock& lock : section.descriptors.locks) {
    std::string path;
    for (const image::Descriptor& number : section.descriptors.numbers) {
      for (const image::OpenFile& file : image.open_files) {
        if (number.fd == lock.fd && number.object == file.object) path = file.path;
      }
    }
    locks.push_back(plan_lock(lock, plan.add_string(path)));
  }
  plan.plan.locks = plan.bytes()->add_array(locks);
}

Status plan_directory(const image::ProcessImage& section, PlanBuilder& plan) {
  STASIS_TRY(check_cwd(section.process.cwd));
  plan.plan.cwd = plan.add_string(section.process.cwd);
  plan.plan.umask = section.process.umask;
  return {};
}

Status plan_files(const image::Image& image, const RestoreInputs& inputs, GroupBuilder& plan) {
  plan.group.cwd = plan.add_string(image.first().process.cwd);
  plan.group.umask = image.first().process.umask;
  for (const image::Stdio& stdio : image.stdio) {
    const GroupBuilder::Place place = plan.add_slot(stdio.object);
    if (place.fd < 0) continue;
    const std::uint64_t settings = plan.add_bytes(stdio.settings);
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::Stdio, place.slot, place.fd);
    entry.value = stdio.stream;
    entry.data = settings;
    entry.data_bytes = stdio.settings.size();
    entry.ticks = static_cast<std::uint64_t>(stdio.foreground_group);
  }
  for (const image::OpenFile& file : image.open_files) {
    const GroupBuilder::Place place = plan.add_slot(file.object);
    if (place.fd < 0) continue;
    const std::uint64_t detail = plan_detail(file, plan);
    if (file.deleted) {
      const std::uint64_t name = plan.add_string(file.path);
      wire::FdEntry& entry = plan.add_fd(wire::FdKind::DeletedDirectory, place.slot, place.fd);
      entry.flags = file.flags & ~kDropped;
      entry.path = name;
      entry.value = detail;
      continue;
    }
    if (file.memory != 0) {
      wire::FdEntry& entry = plan.add_fd(wire::FdKind::MemoryFile, place.slot, place.fd);
      entry.flags = file.flags & ~(kDropped | O_NOFOLLOW);  // it is opened by a link in /proc; shm_open(3) has the flag
      entry.file_offset = file.position;
      entry.peer_slot = plan.slot_of(file.memory, 0);
      entry.value = detail;
      continue;
    }
    STASIS_TRY(check_open_file(file, place.fd, inputs));
    const std::uint64_t path = plan.add_string(file.path);
    wire::FdEntry& entry = plan.add_fd(wire::FdKind::OpenFile, place.slot, place.fd);
    // A place is that of the name itself, be it a symbolic link's.
    entry.flags = (file.flags & ~kDropped) | ((file.flags & O_PATH) != 0 ? O_NOFOLLOW : 0);
    entry.file_offset = (file.flags & O_PATH) != 0 ? -1 : file.position;
    entry.path = path;
    entry.value = detail;
  }
  return {};
}

}  // namespace stasis::restore
