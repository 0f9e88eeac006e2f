#include "checkpoint/shared_memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>

#include "checkpoint/pages.h"
#include "checkpoint/sysv.h"
#include "image/shared_files.h"
#include "os/file.h"
#include "os/file_users.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

using wire::kPageBytes;

constexpr char kDeleted[] = " (deleted)";
constexpr char kMemoryFile[] = "/memfd:";
constexpr char kRestoredShared[] = "/memfd:stasis-shared";
constexpr std::size_t kPieceBytes = 1 << 20;
constexpr std::uint64_t kMostPagesAsked = 240 * 1024;  // of one process: a byte each in the runtime's area
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

bool is_in_window(const procfs::MapLine& line) { return line.start < wire::kWindowEnd && line.end > wire::kWindowBase; }

bool is_deleted_mapping(const procfs::MapLine& line) { return line.shared && line.name.ends_with(kDeleted); }

// Memory that has no file where it could be found again.
bool is_nameless(const procfs::MapLine& line) {
  return is_shared_anonymous(line) || is_memory_file(line.name) || is_segment(line.name);
}

std::uint64_t round_up(std::uint64_t bytes) { return (bytes + kPageBytes - 1) & ~(kPageBytes - 1); }

// The parts of [start, end) that are in none of `covered`; adds them there.
std::vector<Range> add_uncovered(std::vector<Range>& covered, std::uint64_t start, std::uint64_t end) {
  std::vector<Range> parts;
  std::uint64_t at = start;
  for (const Range& range : covered) {
    if (range.end <= at || range.start >= end) continue;
    if (range.start > at) parts.push_back({at, range.start});
    at = std::max(at, range.end);
  }
  if (at < end) parts.push_back({at, end});
  covered.insert(covered.end(), parts.begin(), parts.end());
  std::sort(covered.begin(), covered.end(), [](const Range& a, const Range& b) { return a.start < b.start; });
  return parts;
}

}  // namespace

bool has_swap() {
  const auto text = procfs::read_whole("/proc/swaps");
  return !text.ok() || std::count(text.value().begin(), text.value().end(), '\n') > 1;
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

void PresentPages::ask(tracer::ParasiteThread& thread, bool first) {
  if (!first) return;
  for (Area& area : areas_) {
    const std::uint64_t bytes = area.line.end - area.line.start;
    area.place = tracer::Parasite::reserve(thread, bytes / kPageBytes);
    area.call = tracer::Parasite::add(
        thread, {SYS_mincore, {area.line.start, bytes, tracer::Parasite::data_address(thread, area.place)}});
  }
}

Status PresentPages::take(const tracer::ParasiteThread& thread, bool first) {
  if (!first) return {};
  for (Area& area : areas_) {
    if (thread.result(area.call) != 0) continue;
    const std::uint8_t* pages = thread.data.data() + area.place;
    area.pages.assign(pages, pages + (area.line.end - area.line.start) / kPageBytes);
  }
  return {};
}

std::vector<Range> PresentPages::find(std::uint64_t start, std::uint64_t end) const {
  for (const Area& area : areas_) {
    if (start < area.line.start || end > area.line.end || area.pages.empty()) continue;
    std::vector<Range> ranges;
    for (std::uint64_t at = start; at < end; at += kPageBytes) {
      if ((area.pages[(at - area.line.start) / kPageBytes] & 1) == 0) continue;
      if (ranges.empty() || ranges.back().end != at) ranges.push_back({at, at});
      ranges.back().end = at + kPageBytes;
    }
    return ranges;
  }
  return {{start, end}};
}

bool PresentPages::tells_of(const procfs::MapLine& line) const {
  return std::any_of(areas_.begin(), areas_.end(),
                     [&](const Area& area) { return area.line == line && !area.pages.empty(); });
}

std::vector<std::unique_ptr<PresentPages>> ask_present(const std::vector<const std::vector<procfs::MapLine>*>& lines) {
  struct Candidate {
    const procfs::MapLine* line;
    std::size_t process;
  };
  std::vector<std::unique_ptr<PresentPages>> questions(lines.size());
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    questions[i] = std::make_unique<PresentPages>();
    for (const procfs::MapLine& line : *lines[i]) {
      if (!line.shared || is_in_window(line)) continue;
      if (is_nameless(line) || is_deleted_mapping(line)) candidates.push_back({&line, i});
    }
  }
  if (has_swap()) return questions;
  std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.line->resident_bytes > b.line->resident_bytes;
  });
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<Range>> asked;
  std::vector<std::uint64_t> room(lines.size(), kMostPagesAsked);
  for (const Candidate& candidate : candidates) {
    const procfs::MapLine& line = *candidate.line;
    const std::uint64_t length = line.end - line.start;
    if (length / kPageBytes > room[candidate.process]) continue;
    if (add_uncovered(asked[{line.device, line.inode}], line.offset, line.offset + length).empty()) continue;
    questions[candidate.process]->add(line);
    room[candidate.process] -= length / kPageBytes;
  }
  return questions;
}

std::vector<tracer::Question*> SharedMemories::show_all(Members subjects,
                                                        const std::vector<std::vector<procfs::MapLine>>& lines,
                                                        const std::vector<std::unique_ptr<PresentPages>>& known) {
  struct Shown {
    std::size_t process;
    const procfs::MapLine* line;
  };
  std::vector<Shown> all;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (const procfs::MapLine& line : lines[i]) {
      if (is_in_window(line)) continue;
      procfs::MapLine file = line;
      if (const std::string path = shared_file_path(line.name, line.device, line.inode); !path.empty())
        file.name = path;
      if (!is_nameless(line) && file.inode != 0 && file.name.starts_with('/') && !file.name.ends_with(kDeleted)) {
        keep_mapped_content(*subjects[i], file);
        continue;
      }
      if (!is_nameless(line) && !is_deleted_mapping(line)) continue;
      (void)show(*subjects[i], line);
      if (line.shared) all.push_back({i, &line});
    }
  }
  // A view that tells of its pages comes before the others that show the same.
  const auto tells = [&](const Shown& shown, const PresentPages* present) {
    Memory& memory = find(shown.line->device, shown.line->inode);
    const auto view = std::find_if(
        memory.views.begin() + static_cast<std::ptrdiff_t>(memory.asked_views), memory.views.end(),
        [&](const View& one) { return one.subject == subjects[shown.process] && one.address == shown.line->start; });
    view->present = present;
    std::swap(*view, memory.views[memory.asked_views++]);
  };
  const auto add = [&](const procfs::MapLine& line) {
    return !add_uncovered(find(line.device, line.inode).asked, line.offset, line.offset + (line.end - line.start))
                .empty();
  };
  for (const Shown& shown : all) {
    const PresentPages* answer = known[shown.process].get();
    if (answer->tells_of(*shown.line) && add(*shown.line)) tells(shown, answer);
  }
  std::vector<tracer::Question*> questions(lines.size(), nullptr);
  std::vector<std::uint64_t> room(lines.size(), kMostPagesAsked);
  for (const Shown& shown : all) {
    const std::uint64_t pages = (shown.line->end - shown.line->start) / kPageBytes;
    if (swap_ || find(shown.line->device, shown.line->inode).fd.has_value() || pages > room[shown.process]) continue;
    if (!add(*shown.line)) continue;
    room[shown.process] -= pages;
    if (questions[shown.process] == nullptr) {
      questions[shown.process] = questions_.emplace_back(std::make_unique<PresentPages>()).get();
    }
    auto* question = static_cast<PresentPages*>(questions[shown.process]);
    question->add(*shown.line);
    tells(shown, question);
  }
  return questions;
}

std::uint64_t SharedMemories::bytes() const {
  std::uint64_t result = 0;
  for (const Memory& memory : memories_) result += round_up(memory.record.bytes);
  return result;
}

void SharedMemories::forget_views() {
  pieces_.clear();
  next_piece_ = 0;
  for (Memory& memory : memories_) {
    memory.views.clear();
    memory.asked.clear();
    memory.copied.clear();
    memory.shared_views = memory.asked_views = 0;
  }
}

Status SharedMemories::plan_copy(CopyRoom& room) {
  for (Memory& memory : memories_) STASIS_TRY(plan_copy(memory, room));
  return {};
}

Status SharedMemories::plan_copy(Memory& memory, CopyRoom& room) {
  const auto take = [&](const PageSource& source, const Range& part, std::uint64_t base) -> Status {
    const auto bytes = STASIS_TRY(room.take(part.end - part.start));
    memory.copied.push_back({part.start - base, bytes});
    for (std::size_t at = 0; at < bytes.size(); at += kPieceBytes) {
      pieces_.push_back({&source, {part.start + at, bytes.data() + at, std::min(kPieceBytes, bytes.size() - at)}});
    }
    return {};
  };
  if (memory.fd.has_value()) {
    const PageSource& source = *sources_.emplace_back(std::make_unique<FilePages>(memory.fd->get()));
    for (const Range& part : STASIS_TRY(source.parts(0, round_up(memory.record.bytes)))) {
      STASIS_TRY(take(source, part, 0));
    }
    return {};
  }
  std::vector<Range> covered;
  for (const View& view : memory.views) {
    const std::uint64_t base = view.address - view.offset;
    const std::vector<Range> parts = add_uncovered(covered, view.offset, view.offset + view.length);
    if (parts.empty()) continue;
    processes_.push_back(std::make_unique<ProcessMemory>(STASIS_TRY(ProcessMemory::open(view.subject->pid))));
    const PageSource& source = *sources_.emplace_back(std::make_unique<MemoryPages>(*processes_.back()));
    for (const Range& part : parts) {
      const Range there{base + part.start, base + part.end};
      const auto ranges =
          view.present != nullptr ? view.present->find(there.start, there.end) : std::vector<Range>{there};
      for (const Range& range : ranges) STASIS_TRY(take(source, range, base));
    }
  }
  std::sort(memory.copied.begin(), memory.copied.end(),
            [](const CopiedPages::Part& a, const CopiedPages::Part& b) { return a.start < b.start; });
  return {};
}

Status SharedMemories::copy() {
  for (std::size_t at = next_piece_++; at < pieces_.size(); at = next_piece_++) {
    STASIS_TRY(read_readable(*pieces_[at].source, pieces_[at].transfer));
  }
  return {};
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
