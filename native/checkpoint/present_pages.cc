#include "checkpoint/present_pages.h"

#include <sys/syscall.h>

#include <algorithm>
#include <map>
#include <utility>

#include "checkpoint/shared_memory.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

using wire::kPageBytes;

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

bool has_swap() {
  const auto text = procfs::read_whole("/proc/swaps");
  return !text.ok() || std::count(text.value().begin(), text.value().end(), '\n') > 1;
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

}  // namespace stasis::checkpoint
