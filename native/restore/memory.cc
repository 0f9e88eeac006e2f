// The memory plan: what to map, in ascending order of address.
//
// The price of a restore is the number of mapping calls, not bytes (docs/kernel-facts.md), so
//  - pieces do not overlap: stored pages are mapped next to anonymous memory or file pages, not over them, each with
//  its final
//    protection at once; neighbours that are alike become one entry;
//  - a mapping without stored pages, such as a reserved PROT_NONE range, is one entry whatever its size;
//  - advice is given after all mappings, one call over as many of them as lie in a row.
//
// What cannot be a mapping of the page file is copied out of it into memory of the right kind:
//  - growing stacks and MADV_WIPEONFORK areas (the kernel refuses both for files) and shared anonymous memory;
//  - on a file system mounted noexec, where no page of the file may ever become executable: executable memory, and all
//  anonymous memory
//    of a program that makes executable memory of its own (a JIT changes protections as it goes);
//  - the smallest runs, if there were more mappings than vm.max_map_count allows.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "restore/builders.h"
#include "restore/mapped_files.h"
#include "wire/layout.h"

namespace stasis::restore {

namespace {

using image::Mapping;
using image::MappingSource;
using image::PageRun;

constexpr std::uint64_t kNever = ~std::uint64_t{0};

// Mappings the process has besides the plan's: the runtime's window, vdso, and some room for the program to go on.
constexpr std::uint64_t kMapsToSpare = 1024;

std::uint64_t max_map_count() {
  std::uint64_t count = 65530;  // DEFAULT_MAX_MAP_COUNT
  std::ifstream("/proc/sys/vm/max_map_count") >> count;
  return count;
}

bool is_noexec(const std::string& path) {
  struct statvfs status;
  return ::statvfs(path.c_str(), &status) == 0 && (status.f_flag & ST_NOEXEC) != 0;
}

// Where the pages of a run come from when the program gives them up.
struct Backing {
  std::uint32_t file = wire::kNoFile;
  std::uint64_t offset = 0;  // of the run's first page
};

class MemoryPlanner {
 public:
  MemoryPlanner(const image::Image& image, const image::ProcessImage& section, const RestoreInputs& inputs,
                const GroupBuilder& group, MappedFiles& mapped_files, PlanBuilder& plan)
      : image_(image), section_(section), inputs_(inputs), group_(group), plan_(plan), mapped_files_(mapped_files) {}

  Status build();
  std::uint64_t image_bytes() const { return image_bytes_; }
  std::uint64_t copied_bytes() const { return copied_bytes_; }

 private:
  Status add_mapping(const Mapping& mapping);
  bool add_attachment(const Mapping& mapping);
  Result<Mapping> as_own(const Mapping& mapping) const;
  void add_pieces(const Mapping& mapping, const wire::MapEntry& base);
  void add_copies(const Mapping& mapping, const wire::MapEntry& base);
  void add_base(const wire::MapEntry& base, std::uint64_t from, std::uint64_t to);
  void add_run(const PageRun& run, const wire::MapEntry& base);
  void add_range(const PageRun& run, const wire::MapEntry& base);
  void add_copy(const PageRun& run);
  void append(const wire::MapEntry& entry);
  void add_advice();
  void add_advice(std::uint32_t bit, int advice);
  void add_locks();
  std::uint32_t page_file(std::uint32_t index);

  bool must_copy(const Mapping& mapping) const;
  void choose_copied_kinds();
  void choose_copied_runs();

  const image::Image& image_;
  const image::ProcessImage& section_;
  const RestoreInputs& inputs_;
  const GroupBuilder& group_;
  PlanBuilder& plan_;
  MappedFiles& mapped_files_;
  bool copy_anonymous_ = false, copy_executable_ = false;
  std::uint64_t copy_below_ = 0;  // runs shorter than this are copied
  std::uint64_t image_bytes_ = 0, copied_bytes_ = 0;
};

bool is_anonymous_private(const Mapping& mapping) {
  return mapping.source == MappingSource::Anonymous && !mapping.shared;
}

void MemoryPlanner::choose_copied_kinds() {
  copy_executable_ = std::any_of(inputs_.page_files.begin(), inputs_.page_files.end(),
                                 [](const PageFileLocation& file) { return is_noexec(file.path); });
  copy_anonymous_ =
      copy_executable_ && std::any_of(section_.mappings.begin(), section_.mappings.end(), [](const Mapping& mapping) {
        return is_anonymous_private(mapping) && (mapping.protection & PROT_EXEC) != 0;
      });
}

// Each mapped run may split its mapping in two more. Below the limit nothing is copied for this reason.
void MemoryPlanner::choose_copied_runs() {
  std::vector<std::uint64_t> lengths;
  for (const Mapping& mapping : section_.mappings) {
    for (const PageRun& run : mapping.runs) lengths.push_back(run.length);
  }
  const std::uint64_t limit = max_map_count();
  const std::uint64_t unavoidable = section_.mappings.size() + kMapsToSpare;
  const std::uint64_t mappable = limit > unavoidable ? (limit - unavoidable) / 2 : 0;
  if (lengths.size() <= mappable) return;
  std::sort(lengths.begin(), lengths.end(), std::greater<>());
  copy_below_ = mappable == 0 ? kNever : lengths[mappable] + 1;
}

bool MemoryPlanner::must_copy(const Mapping& mapping) const {
  if ((mapping.traits & image::kMappingGrowsDown) != 0 || (mapping.advice & image::kAdviceWipeOnFork) != 0) return true;
  if (mapping.shared) return true;
  if (copy_executable_ && (mapping.protection & PROT_EXEC) != 0) return true;
  return copy_anonymous_ && mapping.source == MappingSource::Anonymous;
}

std::uint32_t MemoryPlanner::page_file(std::uint32_t index) {
  const PageFileLocation& file = inputs_.page_files[index];
  return plan_.add_file(file.path, O_RDONLY, true, file.device, file.inode);
}

// Appends, or lengthens the entry before when the new one goes on where it ends.
void MemoryPlanner::append(const wire::MapEntry& entry) {
  if (!plan_.maps.empty()) {
    wire::MapEntry& last = plan_.maps.back();
    const bool alike = last.kind == entry.kind && last.address + last.length == entry.address &&
                       last.flags == entry.flags && last.protection == entry.protection && last.file == entry.file;
    const bool from_file = entry.kind == wire::MapKind::File || entry.kind == wire::MapKind::Image ||
                           entry.kind == wire::MapKind::Copy || entry.kind == wire::MapKind::Segment;
    // Two shared anonymous mappings are two objects, and a stack grows on its own.
    const bool separate = entry.kind == wire::MapKind::Attach ||
                          (entry.kind == wire::MapKind::Anonymous && (entry.flags & (MAP_SHARED | MAP_GROWSDOWN)) != 0);
    if (alike && !separate && (!from_file || last.file_offset + last.length == entry.file_offset)) {
      last.length += entry.length;
      return;
    }
  }
  plan_.maps.push_back(entry);
}

void MemoryPlanner::add_base(const wire::MapEntry& base, std::uint64_t from, std::uint64_t to) {
  if (from == to) return;
  wire::MapEntry piece = base;
  piece.address = from;
  piece.length = to - from;
  if (piece.kind == wire::MapKind::File) piece.file_offset = base.file_offset + (from - base.address);
  append(piece);
}

void MemoryPlanner::add_range(const PageRun& run, const wire::MapEntry& base) {
  Backing backing;
  if (base.kind == wire::MapKind::File) {
    backing.file = base.file;
    backing.offset = base.file_offset + (run.address - base.address);
  }
  if (!plan_.image_ranges.empty()) {
    wire::ImageRange& last = plan_.image_ranges.back();
    if (last.address + last.length == run.address && last.backing == backing.file &&
        (backing.file == wire::kNoFile || last.backing_offset + last.length == backing.offset)) {
      last.length += run.length;
      plan_.plan.image_pages += run.length / wire::kPageBytes;
      return;
    }
  }
  plan_.image_ranges.push_back({.address = run.address,
                                .length = run.length,
                                .first_bit = plan_.plan.image_pages,
                                .backing_offset = backing.offset,
                                .backing = backing.file,
                                .reserved = 0});
  plan_.plan.image_pages += run.length / wire::kPageBytes;
}

void MemoryPlanner::add_run(const PageRun& run, const wire::MapEntry& base) {
  append({.address = run.address,
          .length = run.length,
          .file_offset = run.file_offset,
          .protection = base.protection,
          .flags = MAP_PRIVATE | (base.flags & MAP_NORESERVE),
          .file = page_file(run.page_file),
          .kind = wire::MapKind::Image});
  add_range(run, base);
  image_bytes_ += run.length;
}

void MemoryPlanner::add_copy(const PageRun& run) {
  append({.address = run.address,
          .length = run.length,
          .file_offset = run.file_offset,
          .protection = 0,
          .flags = 0,
          .file = page_file(run.page_file),
          .kind = wire::MapKind::Copy});
  copied_bytes_ += run.length;
}

// Stored pages mapped between pieces of the base; runs too short to be worth a mapping are copied into the base around
// them.
void MemoryPlanner::add_pieces(const Mapping& mapping, const wire::MapEntry& base) {
  std::uint64_t from = mapping.address;
  for (const PageRun& run : mapping.runs) {
    if (run.length < copy_below_) continue;
    add_base(base, from, run.address);
    add_run(run, base);
    from = run.address + run.length;
  }
  add_base(base, from, mapping.address + mapping.length);
}

// Copying needs write access, which is taken back afterwards where the program has none.
void MemoryPlanner::add_copies(const Mapping& mapping, const wire::MapEntry& base) {
  const bool copy_all = must_copy(mapping);
  const bool any = std::any_of(mapping.runs.begin(), mapping.runs.end(),
                               [&](const PageRun& run) { return copy_all || run.length < copy_below_; });
  wire::MapEntry writable = base;
  if (any) writable.protection |= PROT_WRITE;
  if (copy_all) {
    append(writable);
  } else {
    add_pieces(mapping, writable);
  }
  if (!any) return;
  for (const PageRun& run : mapping.runs) {
    if (copy_all || run.length < copy_below_) add_copy(run);
  }
  if (writable.protection == base.protection) return;
  wire::MapEntry protect{};
  protect.kind = wire::MapKind::Protect;
  protect.address = mapping.address;
  protect.length = mapping.length;
  protect.protection = base.protection;
  protect.file = wire::kNoFile;
  append(protect);
}

// Memory that nothing but this mapping shows is as good as memory of its own.
Result<Mapping> MemoryPlanner::as_own(const Mapping& mapping) const {
  const auto object = std::find_if(image_.shared_memory.begin(), image_.shared_memory.end(),
                                   [&](const image::SharedMemory& memory) { return memory.object == mapping.object; });
  std::size_t shown = 0;
  for (const image::ProcessImage& section : image_.processes) {
    for (const Mapping& other : section.mappings) shown += other.object == mapping.object ? 1 : 0;
  }
  if (object == image_.shared_memory.end() || object->kind != image::SharedMemoryKind::Anonymous || shown > 1) {
    return Error::plain(ErrorKind::Unsupported, "the application has memory that several mappings share")
        .with_range(mapping.address, mapping.length);
  }
  Mapping own = mapping;
  own.source = MappingSource::Anonymous;
  for (const PageRun& run : object->runs) {
    const std::uint64_t start = std::max(run.address, mapping.object_offset);
    const std::uint64_t end = std::min(run.address + run.length, mapping.object_offset + mapping.length);
    if (start >= end) continue;
    own.runs.push_back({mapping.address + start - mapping.object_offset, end - start, run.page_file,
                        run.file_offset + start - run.address});
  }
  return own;
}

// True if the mapping is an attachment of a System V segment.
bool MemoryPlanner::add_attachment(const Mapping& mapping) {
  for (const image::SharedMemory& memory : image_.shared_memory) {
    if (memory.object != mapping.object || memory.kind != image::SharedMemoryKind::SystemV) continue;
    wire::MapEntry entry{};
    entry.kind = wire::MapKind::Attach;
    entry.address = mapping.address;
    entry.length = mapping.length;
    entry.protection = mapping.protection;
    entry.file_offset = static_cast<std::uint64_t>(memory.system.id);
    entry.file = wire::kNoFile;
    append(entry);
    return true;
  }
  return false;
}

Status MemoryPlanner::add_mapping(const Mapping& mapping) {
  if (mapping.source == MappingSource::Object && add_attachment(mapping)) return {};
  const bool is_object = mapping.source == MappingSource::Object;
  const std::uint32_t slot = is_object ? group_.slot_of(mapping.object, 0) : wire::kNoSlot;
  if (is_object && slot == wire::kNoSlot) return add_mapping(STASIS_TRY(as_own(mapping)));
  wire::MapEntry base{};
  base.address = mapping.address;
  base.length = mapping.length;
  base.protection = mapping.protection;
  base.flags = mapping.shared ? MAP_SHARED : MAP_PRIVATE;
  if ((mapping.traits & image::kMappingNoReserve) != 0) base.flags |= MAP_NORESERVE;
  if (is_object) {
    base.kind = wire::MapKind::Segment;
    base.file = slot;
    base.file_offset = mapping.object_offset;
  } else if (mapping.source == MappingSource::File) {
    const FileStatus status = STASIS_TRY(mapped_files_.check(mapping));
    const bool writes_through = mapping.shared && (mapping.protection & PROT_WRITE) != 0;
    base.kind = wire::MapKind::File;
    base.file = plan_.add_file(mapping.path, writes_through ? O_RDWR : O_RDONLY, false, status.device, status.inode);
    base.file_offset = mapping.file_offset;
  } else {
    base.kind = wire::MapKind::Anonymous;
    base.file = wire::kNoFile;
    if ((mapping.traits & image::kMappingGrowsDown) != 0) base.flags |= MAP_GROWSDOWN;
  }
  add_copies(mapping, base);
  return {};
}

// One call for every row of mappings that have the advice, unmapped holes included: madvise(2) goes on behind a hole
// and answers ENOMEM in the end. A row ends at a mapping without the advice and at the runtime's window.
void MemoryPlanner::add_advice(std::uint32_t bit, int advice) {
  wire::MapEntry row{};
  row.kind = wire::MapKind::Advise;
  row.file_offset = static_cast<std::uint64_t>(advice);
  row.file = wire::kNoFile;
  const auto flush = [&] {
    if (row.length != 0) plan_.maps.push_back(row);
    row.length = 0;
  };
  for (const Mapping& mapping : section_.mappings) {
    if (row.length != 0 && row.address < wire::kWindowBase && mapping.address >= wire::kWindowBase) flush();
    if ((mapping.advice & bit) == 0) {
      flush();
      continue;
    }
    if (row.length == 0) row.address = mapping.address;
    row.length = mapping.address + mapping.length - row.address;
  }
  flush();
}

void MemoryPlanner::add_advice() {
  add_advice(image::kAdviceDontFork, MADV_DONTFORK);
  add_advice(image::kAdviceDontDump, MADV_DONTDUMP);
  add_advice(image::kAdviceHugePage, MADV_HUGEPAGE);
  add_advice(image::kAdviceNoHugePage, MADV_NOHUGEPAGE);
  add_advice(image::kAdviceMergeable, MADV_MERGEABLE);
  add_advice(image::kAdviceWipeOnFork, MADV_WIPEONFORK);
  add_advice(image::kAdviceSequential, MADV_SEQUENTIAL);
  add_advice(image::kAdviceRandom, MADV_RANDOM);
}

// mlock(2) stops at a hole, so locked mappings are taken in rows without holes.
void MemoryPlanner::add_locks() {
  for (const Mapping& mapping : section_.mappings) {
    if ((mapping.traits & image::kMappingLocked) == 0) continue;
    wire::MapEntry& last = plan_.maps.back();
    if (last.kind == wire::MapKind::Lock && last.address + last.length == mapping.address) {
      last.length += mapping.length;
      continue;
    }
    wire::MapEntry lock{};
    lock.kind = wire::MapKind::Lock;
    lock.address = mapping.address;
    lock.length = mapping.length;
    lock.file = wire::kNoFile;
    plan_.maps.push_back(lock);
  }
}

Status MemoryPlanner::build() {
  choose_copied_kinds();
  choose_copied_runs();
  for (const Mapping& mapping : section_.mappings) STASIS_TRY(add_mapping(mapping));
  add_advice();
  add_locks();
  const std::uint64_t table_bytes =
      plan_.image_ranges.size() * sizeof(wire::ImageRange) + plan_.plan.image_pages / 8 + 2 * wire::kPageBytes;
  if (table_bytes > wire::kImageTableMaxBytes) {
    return Error::plain(ErrorKind::Unsupported, "the table of the image's " + std::to_string(plan_.plan.image_pages) +
                                                    " pages does not fit in the runtime's window");
  }
  return {};
}

void plan_layout(const image::MemoryLayout& memory, PlanBuilder& plan) {
  plan.plan.layout = {.start_code = memory.start_code,
                      .end_code = memory.end_code,
                      .start_data = memory.start_data,
                      .end_data = memory.end_data,
                      .start_brk = memory.start_brk,
                      .brk = memory.brk,
                      .start_stack = memory.start_stack,
                      .arg_start = memory.arg_start,
                      .arg_end = memory.arg_end,
                      .env_start = memory.env_start,
                      .env_end = memory.env_end};
  plan.plan.auxv = plan.add_bytes(memory.auxv, 16);
  plan.plan.auxv_bytes = memory.auxv.size();
}

}  // namespace

Status plan_memory(const image::Image& image, const image::ProcessImage& section, const RestoreInputs& inputs,
                   const GroupBuilder& group, MappedFiles& mapped_files, PlanBuilder& plan, PreparedRestore& prepared) {
  if (inputs.page_files.size() != image.page_files.size()) {
    return Error::plain(ErrorKind::Damaged, "the image names " + std::to_string(image.page_files.size()) +
                                                " page files, and " + std::to_string(inputs.page_files.size()) +
                                                " were opened");
  }
  MemoryPlanner planner(image, section, inputs, group, mapped_files, plan);
  STASIS_TRY(planner.build());
  plan_layout(section.memory, plan);
  prepared.map_entries = plan.maps.size();
  prepared.image_bytes = planner.image_bytes();
  prepared.copied_bytes = planner.copied_bytes();
  return {};
}

}  // namespace stasis::restore
