#include "checkpoint/shared_memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "checkpoint/pages.h"
#include "checkpoint/sysv.h"
#include "image/shared_files.h"
#include "os/file.h"
#include "os/file_users.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

using wire::kPageBytes;

constexpr char kMemoryFile[] = "/memfd:";
constexpr char kRestoredShared[] = "/memfd:stasis-shared";
constexpr long kHugetlbMagic = 0x958458f6;
constexpr long kQueueMagic = 0x19800202;

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

std::string memory_file_name(std::string name) {
  if (name.size() >= sizeof kDeleted - 1 && name.ends_with(kDeleted)) name.resize(name.size() - (sizeof kDeleted - 1));
  return name.substr(sizeof kMemoryFile - 1);
}

std::string without_mark(const std::string& link) { return link.substr(0, link.size() - (sizeof kDeleted - 1)); }

// Of a file system, open and without a name.
bool is_deleted_file(const Fd& fd) {
  return fd.type() == S_IFREG && fd.links == 0 && fd.link.starts_with('/') && fd.link.ends_with(kDeleted) &&
         !is_memory_file(fd.link) && (fd.flags & O_PATH) == 0;
}

std::uint64_t round_up(std::uint64_t bytes) { return (bytes + kPageBytes - 1) & ~(kPageBytes - 1); }

}  // namespace

bool is_in_window(const procfs::MapLine& line) { return line.start < wire::kWindowEnd && line.end > wire::kWindowBase; }

bool is_deleted_mapping(const procfs::MapLine& line) { return line.shared && line.name.ends_with(kDeleted); }

bool is_nameless(const procfs::MapLine& line) {
  return is_shared_anonymous(line) || is_memory_file(line.name) || is_segment(line.name);
}

bool is_memory_file(const std::string& name) { return starts_with(name, kMemoryFile); }

bool is_shared_anonymous(const procfs::MapLine& line) {
  return line.shared && (starts_with(line.name, "/dev/zero") || starts_with(line.name, "[anon_shmem:") ||
                         starts_with(line.name, kRestoredShared));
}

std::string shared_file_path(const std::string& name, std::uint64_t device, std::uint64_t inode) {
  if (!image::is_shared_file(name)) return {};
  const auto is_it = [&](const std::string& path) {
    struct stat status;
    return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && status.st_ino == inode &&
           status.st_dev == device;
  };
  if (is_it(name)) return name;
  if (!name.ends_with(kDeleted)) return {};
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(image::kSharedFiles), &::closedir);
  if (entries == nullptr) return {};
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string path = std::string(image::kSharedFiles) + entry->d_name;
    if (entry->d_ino == inode && is_it(path)) return path;
  }
  return {};
}

void SharedMemories::keep_content(const std::string& path, std::uint64_t device, std::uint64_t inode,
                                  const std::string& where) {
  if (copied_) return;
  for (const Memory& memory : memories_) {
    if (memory.record.kind == image::SharedMemoryKind::File && memory.record.name == path) return;
  }
  auto fd = open_file_at(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW, 0, "opening a file of the application");
  struct stat status;
  if (!fd.ok() || ::fstat(fd.value().get(), &status) != 0) {
    unkept_.push_back({where, path, 0});
    return;
  }
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  if (!image::is_shared_file(path) && bytes > most_bytes_) {
    unkept_.push_back({where, path, bytes});
    return;
  }
  Memory& memory = find(device, inode);
  memory.record.kind = image::SharedMemoryKind::File;
  memory.record.name = path;
  memory.record.bytes = bytes;
  memory.record.mode = status.st_mode & 07777;
  memory.record.system.uid = status.st_uid;
  memory.record.system.gid = status.st_gid;
  memory.fd = std::move(fd).value();
}

void SharedMemories::keep_mapped_content(const Subject& subject, const procfs::MapLine& file) {
  most_bytes_ = subject.options.save_files_bytes;
  const bool writes_through = file.shared && (file.protection & PROT_WRITE) != 0;
  if (!image::is_shared_file(file.name) && (most_bytes_ == 0 || !writes_through)) return;
  keep_content(file.name, file.device, file.inode, subject.where());
}

void SharedMemories::refuse_contents(Findings& findings) const {
  for (const Unkept& file : unkept_) {
    if (file.bytes == 0) {
      findings.add(file.where, "a file whose content cannot be read, " + file.path,
                   "give this user the right to read it");
    } else {
      findings.add(file.where,
                   "a file of " + std::to_string(file.bytes) + " bytes whose content is to be stored, " + file.path,
                   "allow so many with --save-files");
    }
  }
}

void SharedMemories::refuse_users(const Subject& subject, const std::set<pid_t>& relatives, Findings& findings) const {
  std::set<FileIdentity> files;
  for (const Memory& memory : memories_) {
    if (memory.record.kind == image::SharedMemoryKind::File && image::is_shared_file(memory.record.name))
      files.emplace(memory.device, memory.inode);
  }
  const FileUser user = find_file_user(files, relatives);
  if (user.pid == 0) return;
  for (const Memory& memory : memories_) {
    if (FileIdentity(memory.device, memory.inode) != user.file) continue;
    findings.add_passing(subject.where(),
                         "shared memory, " + memory.record.name + ", that process " + std::to_string(user.pid) +
                             ", which is not of the application, uses too",
                         "start all that use it with the application");
  }
}

SharedMemories::Memory& SharedMemories::find(std::uint64_t device, std::uint64_t inode) {
  for (Memory& memory : memories_) {
    if (memory.device == device && memory.inode == inode) return memory;
  }
  Memory& fresh = memories_.emplace_back();
  fresh.device = device;
  fresh.inode = inode;
  fresh.record.object = next_();
  return fresh;
}

std::uint32_t SharedMemories::show(const Subject& subject, const procfs::MapLine& line) {
  Memory& memory = find(line.device, line.inode);
  const std::uint64_t length = line.end - line.start;
  if (copied_) return memory.record.object;
  // A private mapping's own pages hide the object's: what it shows counts only where nothing else shows it.
  const View view{&subject, line.start, length, line.offset};
  if (line.shared) {
    memory.views.insert(memory.views.begin() + static_cast<std::ptrdiff_t>(memory.shared_views), view);
    ++memory.shared_views;
  } else {
    memory.views.push_back(view);
  }
  if (is_segment(line.name)) {
    memory.record.kind = image::SharedMemoryKind::SystemV;
  } else if (is_memory_file(line.name) && !is_shared_anonymous(line)) {
    memory.record.kind = image::SharedMemoryKind::Memfd;
    memory.record.name = memory_file_name(line.name);
  }
  if (!memory.fd.has_value()) memory.record.bytes = std::max(memory.record.bytes, line.offset + length);
  return memory.record.object;
}

void SharedMemories::keep_open_content(const Options& options, const Fd& fd) {
  most_bytes_ = options.save_files_bytes;
  if (fd.type() != S_IFREG || fd.links == 0 || (fd.flags & O_PATH) != 0) return;
  const std::string shared = shared_file_path(fd.link, fd.device, fd.inode);
  if (!shared.empty()) return keep_content(shared, fd.device, fd.inode, fd.where());
  if (most_bytes_ == 0 || fd.access() == O_RDONLY || !fd.link.starts_with('/') || fd.link.rfind("/proc/", 0) == 0)
    return;
  return keep_content(fd.link, fd.device, fd.inode, fd.where());
}

Status SharedMemories::save_descriptors(Objects& objects, image::Image& image, Findings& findings) {
  for (Description& description : objects.descriptions) {
    const Fd& fd = description.first();
    const bool deleted = is_deleted_file(fd);
    keep_open_content(objects.options(), fd);
    if (description.saved || (!is_memory_file(fd.link) && !deleted)) continue;
    description.saved = true;
    UniqueFd copy = STASIS_TRY(fd.duplicate());
    struct statfs system;
    const bool known = ::fstatfs(copy.get(), &system) == 0;
    if (known && system.f_type == kQueueMagic) {  // mqueue.cc
      description.saved = false;
      continue;
    }
    if (known && system.f_type == kHugetlbMagic) {
      findings.add(fd.where(), "a memory file of huge pages (MFD_HUGETLB)", "use transparent huge pages");
      continue;
    }
    Memory& memory = find(fd.device, fd.inode);
    const int seals = ::fcntl(copy.get(), F_GET_SEALS);
    memory.record.kind = deleted ? image::SharedMemoryKind::DeletedFile : image::SharedMemoryKind::Memfd;
    memory.record.name = deleted ? without_mark(fd.link) : memory_file_name(fd.link);
    memory.record.bytes = fd.bytes;
    memory.record.mode = fd.mode & 07777;
    memory.record.seals = seals > 0 && !deleted ? static_cast<std::uint32_t>(seals) : 0;
    image::OpenFile record;
    record.object = objects.next();
    description.becomes(record.object);
    record.path = deleted ? memory.record.name : kMemoryFile + memory.record.name;
    record.flags = fd.flags & ~static_cast<std::uint32_t>(O_TMPFILE);  // the flag would make another file
    record.position = (fd.flags & O_PATH) != 0 ? -1 : fd.position;
    record.file_type = fd.type();
    record.file_bytes = fd.bytes;
    record.file_modified_ns = fd.modified_ns;
    record.memory = memory.record.object;
    image.open_files.push_back(std::move(record));
    // A description of our own: SEEK_DATA moves the offset.
    if (!memory.fd.has_value()) {
      memory.fd = STASIS_TRY(open_file_at(AT_FDCWD, "/proc/self/fd/" + std::to_string(copy.get()), O_RDONLY, 0,
                                          "opening a memory file of the application"));
    }
  }
  return {};
}

std::uint64_t SharedMemories::bytes() const {
  std::uint64_t result = 0;
  for (const Memory& memory : memories_) result += round_up(memory.record.bytes);
  return result;
}

Status SharedMemories::describe_segments(std::uint64_t copies, Findings& findings) {
  for (Memory& memory : memories_) {
    if (memory.record.kind != image::SharedMemoryKind::SystemV) continue;
    STASIS_TRY(describe_segment(*memory.views.front().subject, memory.inode, copies * memory.views.size(),
                                memory.record, findings));
  }
  return {};
}

Status SharedMemories::store_file(Memory& memory, image::PageFileWriter& writer) {
  return store_shared(FilePages(memory.fd->get()), {{0, round_up(memory.record.bytes)}}, 0, memory.record.runs, writer);
}

Status SharedMemories::store_views(Memory& memory, image::PageFileWriter& writer) {
  std::vector<Range> covered;
  for (const View& view : memory.views) {
    std::vector<Range> parts = add_uncovered(covered, view.offset, view.offset + view.length);
    if (parts.empty()) continue;
    const auto process = STASIS_TRY(ProcessMemory::open(view.subject->pid));
    STASIS_TRY(store_shared(MemoryPages(process), parts, view.address - view.offset, memory.record.runs, writer));
  }
  std::sort(memory.record.runs.begin(), memory.record.runs.end(),
            [](const image::PageRun& a, const image::PageRun& b) { return a.address < b.address; });
  return {};
}

Result<std::uint64_t> SharedMemories::store(image::PageFileWriter& writer, image::Image& image) {
  std::uint64_t runs = 0;
  for (Memory& memory : memories_) {
    if (copied_) {
      const std::vector<Range> all{{0, round_up(memory.record.bytes)}};
      STASIS_TRY(store_shared(CopiedPages(memory.copied), all, 0, memory.record.runs, writer));
    } else {
      STASIS_TRY(memory.fd.has_value() ? store_file(memory, writer) : store_views(memory, writer));
    }
    runs += memory.record.runs.size();
    image.shared_memory.push_back(std::move(memory.record));
  }
  return runs;
}

}  // namespace stasis::checkpoint
