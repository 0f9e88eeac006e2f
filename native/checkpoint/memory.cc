#include "checkpoint/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstdio>

#include "checkpoint/shared_memory.h"
#include "checkpoint/sysv.h"
#include "image/checksum.h"
#include "os/build_id.h"
#include "os/file.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

using procfs::MapLine;

constexpr long kOverlayMagic = 0x794c7630;

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }
bool ends_with(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() && text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

std::string range_of(const Subject& subject, const MapLine& line) {
  char text[64];
  std::snprintf(text, sizeof text, ", address 0x%lx-0x%lx", line.start, line.end);
  return subject.where() + text;
}

struct Bit {
  const char* flag;
  std::uint32_t bit;
};
constexpr Bit kAdvice[] = {
    {"dc", image::kAdviceDontFork},   {"dd", image::kAdviceDontDump},  {"hg", image::kAdviceHugePage},
    {"nh", image::kAdviceNoHugePage}, {"mg", image::kAdviceMergeable}, {"wf", image::kAdviceWipeOnFork},
    {"sr", image::kAdviceSequential}, {"rr", image::kAdviceRandom},
};
constexpr Bit kTraits[] = {
    {"gd", image::kMappingGrowsDown},
    {"nr", image::kMappingNoReserve},
    {"lo", image::kMappingLocked},
};

// Flags of memory that cannot be saved.
struct Obstacle {
  const char* flag;
  const char* what;
  const char* remedy;
};
constexpr Obstacle kObstacles[] = {
    {"ht", "huge pages of hugetlbfs", "use transparent huge pages"},
    {"io", "memory of a device", "unmap it before the checkpoint"},
    {"pf", "memory of a device", "unmap it before the checkpoint"},
    {"um", "memory registered with userfaultfd", "unregister it before the checkpoint"},
    {"uw", "memory registered with userfaultfd", "unregister it before the checkpoint"},
    {"ui", "memory registered with userfaultfd", "unregister it before the checkpoint"},
    {"ss", "a shadow stack", "run the program without shadow stacks (GLIBC_TUNABLES=glibc.cpu.x86_shstk=off)"},
};

enum class Kind { Anonymous, Nameless, SharedMemory, PageFile, BackedPages, File, Skip, Refused };

class Planner {
 public:
  Planner(const Subject& subject, MappedFileFacts& files, SharedMemories& shared, Findings& findings)
      : subject_(subject), files_(files), shared_(shared), findings_(findings) {}

  // A line of a page file may be two things side by side, which the kernel has merged.
  void add(const MapLine& line);
  std::vector<PlannedMapping> take() { return std::move(mappings_); }

 private:
  void add_piece(const MapLine& line);
  Kind kind_of(const MapLine& line, image::Mapping& record);
  Kind kind_of_page_file(const MapLine& line, image::Mapping& record);
  Kind refuse(const MapLine& line, const std::string& what, const char* remedy) {
    findings_.add(range_of(subject_, line), what, remedy);
    return Kind::Refused;
  }
  bool is_page_file(const MapLine& line) const;

  const Subject& subject_;
  MappedFileFacts& files_;
  SharedMemories& shared_;
  Findings& findings_;
  std::vector<PlannedMapping> mappings_;
};

// Page files may lie on file systems whose device number in maps is not that of stat(2) (btrfs, overlayfs); there the
// name decides.
bool Planner::is_page_file(const MapLine& line) const {
  if (line.shared || line.inode == 0) return false;
  return std::any_of(subject_.page_files.begin(), subject_.page_files.end(), [&](const wire::PageFileIdentity& file) {
    if (file.inode != line.inode) return false;
    const auto slash = line.name.rfind('/');
    return file.device == line.device || (slash != std::string::npos && line.name.compare(slash + 1, 6, "pages-") == 0);
  });
}

Kind Planner::kind_of_page_file(const MapLine& line, image::Mapping& record) {
  for (const BackedRange& range : subject_.backed_ranges) {
    if (line.start < range.start || line.end > range.end) continue;
    MapLine file = line;
    file.name = range.path;
    file.inode = range.inode;
    file.offset = range.file_offset + (line.start - range.start);
    if (files_.fill(file, record)) return Kind::BackedPages;
    return refuse(line, "changed pages of a mapped file that was moved or replaced, " + range.path,
                  "put the file back, or start the application anew");
  }
  return Kind::PageFile;
}

Kind Planner::kind_of(const MapLine& line, image::Mapping& record) {
  const std::string& name = line.name;
  if (line.start >= wire::kWindowBase && line.end <= wire::kWindowEnd) return Kind::Skip;
  if (line.start < wire::kWindowEnd && line.end > wire::kWindowBase) {
    return refuse(line, "memory that reaches into the runtime's window", "report this");
  }
  if (name == "[vsyscall]") return Kind::Skip;
  for (const wire::StubArea& area : subject_.stub_areas) {
    if (line.inode == 0 && line.start >= area.begin && line.end <= area.end) return Kind::Skip;
  }
  for (const Obstacle& obstacle : kObstacles) {
    if (line.has_flag(obstacle.flag)) return refuse(line, obstacle.what, obstacle.remedy);
  }
  if (is_page_file(line)) return kind_of_page_file(line, record);
  if (is_shared_anonymous(line)) return Kind::SharedMemory;
  if (starts_with(name, "/dev/zero") && !line.shared) return Kind::Anonymous;
  if (line.inode == 0) {
    if (name == "[vdso]" || name == "[vvar]" || name == "[vvar_vclock]") {
      return refuse(line, "the kernel's vdso outside the runtime's window", "start the application anew");
    }
    if (name.empty() || name == "[heap]" || name == "[stack]" || starts_with(name, "[stack:") ||
        starts_with(name, "[anon:"))
      return Kind::Anonymous;
    return refuse(line, "a mapping of unknown kind, " + name, "unmap it before the checkpoint");
  }
  if (is_segment(name)) {
    if (line.offset == 0) return Kind::SharedMemory;
    return refuse(line, "a System V segment of which a part was unmapped", "detach it (shmdt) before the checkpoint");
  }
  if (is_memory_file(name)) return Kind::SharedMemory;
  if (starts_with(name, "/[aio]"))
    return refuse(line, "an asynchronous I/O context", "end it (io_destroy) before the checkpoint");
  if (starts_with(name, "anon_inode:"))
    return refuse(line, "a mapping of " + name.substr(11), "unmap it before the checkpoint");
  MapLine file = line;
  if (const std::string path = shared_file_path(name, line.device, line.inode); !path.empty()) file.name = path;
  if (files_.fill(file, record)) {
    shared_.keep_mapped_content(subject_, file);
    return Kind::File;
  }
  struct stat status;
  if (ends_with(name, kDeleted)) {
    return line.shared ? Kind::SharedMemory : Kind::Nameless;
  }
  if (!name.empty() && ::stat(name.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    return refuse(line, "a mapping of the device " + name, "unmap it before the checkpoint");
  }
  if (!line.shared) return Kind::Nameless;
  return refuse(line, "a mapping of a file that was moved or replaced, " + name,
                "start the application anew after replacing its files");
}

PageRule rule_of(Kind kind, bool shared) {
  switch (kind) {
    case Kind::Anonymous:
      return PageRule::Present;
    case Kind::PageFile:
      return PageRule::NonZero;
    case Kind::Nameless:
      return PageRule::Readable;
    case Kind::BackedPages:
      return PageRule::All;
    default:
      return shared ? PageRule::None : PageRule::Changed;
  }
}

bool can_join(const image::Mapping& a, const image::Mapping& b) {
  return a.source == image::MappingSource::Anonymous && b.source == image::MappingSource::Anonymous && !a.shared &&
         !b.shared && a.address + a.length == b.address && a.protection == b.protection && a.traits == b.traits &&
         a.advice == b.advice && (a.traits & image::kMappingGrowsDown) == 0;
}

void Planner::add(const MapLine& line) {
  MapLine rest = line;
  const auto cut_at = [&](std::uint64_t address) {
    if (address <= rest.start || address >= rest.end) return;
    MapLine piece = rest;
    piece.end = address;
    add_piece(piece);
    rest.offset += address - rest.start;
    rest.start = address;
  };
  if (is_page_file(line)) {
    for (const BackedRange& range : subject_.backed_ranges) {
      cut_at(range.start);
      cut_at(range.end);
    }
  }
  // The kernel merges a stub area with memory of the program's beside it.
  if (line.inode == 0) {
    for (const wire::StubArea& area : subject_.stub_areas) {
      cut_at(area.begin);
      cut_at(area.end);
    }
  }
  add_piece(rest);
}

void Planner::add_piece(const MapLine& line) {
  image::Mapping record;
  const Kind kind = kind_of(line, record);
  if (kind == Kind::Skip || kind == Kind::Refused) return;
  record.address = line.start;
  record.length = line.end - line.start;
  record.protection = line.protection;
  record.shared = line.shared;
  record.source = kind == Kind::File || kind == Kind::BackedPages ? image::MappingSource::File
                  : kind == Kind::SharedMemory                    ? image::MappingSource::Object
                                                                  : image::MappingSource::Anonymous;
  if (kind == Kind::SharedMemory) {
    record.object = shared_.show(subject_, line);
    record.object_offset = line.offset;
  }
  for (const Bit& advice : kAdvice) {
    if (line.has_flag(advice.flag)) record.advice |= advice.bit;
  }
  for (const Bit& trait : kTraits) {
    if (line.has_flag(trait.flag)) record.traits |= trait.bit;
  }
  const Piece piece{line.start, line.end, rule_of(kind, line.shared)};
  if (!mappings_.empty() && can_join(mappings_.back().record, record)) {
    mappings_.back().record.length += record.length;
    mappings_.back().pieces.push_back(piece);
    return;
  }
  mappings_.push_back({std::move(record), {piece}});
}

}  // namespace

MappedFileFacts::Facts& MappedFileFacts::facts_of(const std::string& path) {
  const auto [place, fresh] = files_.try_emplace(path);
  Facts& facts = place->second;
  if (!fresh) return facts;
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return facts;
  facts.found = true;
  facts.regular = S_ISREG(status.st_mode);
  facts.inode = status.st_ino;
  facts.bytes = static_cast<std::uint64_t>(status.st_size);
  facts.modified_ns = status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec;
  facts.changed_ns = status.st_ctim.tv_sec * 1'000'000'000LL + status.st_ctim.tv_nsec;
  struct statfs system;
  facts.overlay = ::statfs(path.c_str(), &system) == 0 && system.f_type == kOverlayMagic;
  return facts;
}

// None if the file is written to meanwhile.
void MappedFileFacts::read_checksum(const std::string& path, Facts& facts) {
  facts.checksum_read = true;
  auto file = open_file_at(AT_FDCWD, path, O_RDONLY, 0, "reading a mapped file");
  if (!file.ok()) return;
  const auto checksum = image::checksum_of_file(file.value().get(), path);
  const auto after = status_of(file.value().get(), path);
  if (checksum.ok() && after.ok() && after.value().changed_ns == facts.changed_ns) facts.checksum = checksum.value();
}

bool MappedFileFacts::fill(const MapLine& line, image::Mapping& record) {
  if (line.name.empty() || line.name[0] != '/') return false;
  Facts& facts = facts_of(line.name);
  // maps shows the inode of the layer below an overlay, and on btrfs a device number of its own.
  if (!facts.found || !facts.regular || (facts.inode != line.inode && !facts.overlay)) return false;
  if (!facts.build_id_read) {
    facts.build_id_read = true;
    auto file = open_file_at(AT_FDCWD, line.name, O_RDONLY, 0, "reading a build id");
    if (file.ok()) facts.build_id = build_id_of(file.value().get());
  }
  const bool writes_through = line.shared && (line.protection & PROT_WRITE) != 0;
  if (facts.build_id.empty() && !writes_through && facts.bytes <= image::kMostChecksummedFileBytes &&
      !facts.checksum_read)
    read_checksum(line.name, facts);
  record.file_inode = facts.inode;
  record.file_changed_ns = facts.changed_ns;
  record.file_checksum = writes_through ? 0 : facts.checksum;
  record.path = line.name;
  record.file_offset = line.offset;
  record.file_bytes = facts.bytes;
  record.file_modified_ns = facts.modified_ns;
  record.file_build_id = facts.build_id;
  return true;
}

Result<std::vector<MapLine>> read_mappings(pid_t pid, const std::vector<MapLine>& earlier) {
  std::vector<MapLine> lines = STASIS_TRY(procfs::read_maps(pid));
  std::size_t at = 0;
  for (MapLine& line : lines) {
    if (line.start >= wire::kWindowBase && line.end <= wire::kWindowEnd)
      continue;  // of no interest, and changed by the checkpoint itself
    while (at < earlier.size() && earlier[at].start < line.start) ++at;
    if (at == earlier.size() || !(earlier[at] == line)) return procfs::read_smaps(pid);
    line.vm_flags = earlier[at].vm_flags;
  }
  return lines;
}

Result<std::vector<PlannedMapping>> plan_mappings(const Subject& subject, const std::vector<MapLine>& lines,
                                                  MappedFileFacts& files, SharedMemories& shared, Findings& findings) {
  Planner planner(subject, files, shared, findings);
  for (const MapLine& line : lines) planner.add(line);
  return planner.take();
}

}  // namespace stasis::checkpoint
