// The copy of shared memory that is made while the application is held (SharedMemories in checkpoint/shared_memory.h): what each mapping
// shows, which pages of it there are, and the bytes, in pieces that several threads take one after the other.
#include <algorithm>

#include "checkpoint/shared_memory.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

using wire::kPageBytes;

constexpr std::size_t kPieceBytes = 1 << 20;

std::uint64_t round_up(std::uint64_t bytes) { return (bytes + kPageBytes - 1) & ~(kPageBytes - 1); }

}  // namespace

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

}  // namespace stasis::checkpoint
