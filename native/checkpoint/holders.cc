#include "checkpoint/holders.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

using procfs::MapLine;

constexpr int kTries = 3;
constexpr std::size_t kQuestionBytes = 256 * 1024;  // for what else is asked
constexpr const char* kDontFork = "dc";
constexpr const char* kWipeOnFork = "wf";
constexpr const char* kOnlyDontFork = " dc ";  // flags of a mapping of which no more is known

bool in_window(const MapLine& line) { return line.start < wire::kWindowEnd && line.end > wire::kWindowBase; }

// Takes over the flags of lines that are what they were.
void take_flags(const std::vector<MapLine>& earlier, std::vector<MapLine>& lines) {
  std::size_t at = 0;
  for (MapLine& line : lines) {
    while (at < earlier.size() && earlier[at].start < line.start) ++at;
    if (at < earlier.size() && earlier[at] == line) line.vm_flags = earlier[at].vm_flags;
  }
}

bool is_unknown(const MapLine& line) { return line.vm_flags.empty() && !in_window(line); }

// madvise(2) goes on behind a hole, so a row ends only where something lies that is not marked.
std::vector<wire::ParasiteRow> rows_of(const std::vector<MapLine>& lines) {
  std::vector<wire::ParasiteRow> rows;
  bool open = false;
  for (const MapLine& line : lines) {
    if (!line.has_flag(kDontFork) || in_window(line)) {
      open = false;
      continue;
    }
    if (!open) rows.push_back({line.start, 0});
    rows.back().bytes = line.end - rows.back().address;
    open = true;
  }
  return rows;
}

// Marks what is in `lines` and not in the copy's. True if there was any.
bool find_left_out(const std::vector<MapLine>& copy, std::vector<MapLine>& lines) {
  bool any = false;
  std::size_t at = 0;
  for (MapLine& line : lines) {
    if (!is_unknown(line)) continue;
    while (at < copy.size() && copy[at].end <= line.start) ++at;
    if (at < copy.size() && copy[at].start <= line.start) continue;
    line.vm_flags = kOnlyDontFork;
    any = true;
  }
  return any;
}

}  // namespace

Status HeldPages::make(Tree& tree, std::vector<std::vector<MapLine>> lines,
                       const std::vector<tracer::Question*>& questions, Deadline deadline) {
  const std::size_t count = tree.members.size();
  for (std::size_t i = 0; i < count; ++i) take_flags(tree.members[i]->earlier_maps, lines[i]);
  for (int attempt = 1;; ++attempt) {
    std::vector<tracer::ToHold> wanted;
    for (std::size_t i = 0; i < count; ++i) {
      Member& member = *tree.members[i];
      tracer::ToHold& one = wanted.emplace_back();
      one = {&*member.session,        &*member.memory,
             &member.subject.runtime, &member.state->first_thread,
             rows_of(lines[i]),       attempt == 1 ? questions[i] : nullptr};
      if (one.rows.size() > tracer::most_rows(*one.thread, kQuestionBytes)) {
        return Error::of_errno(ENOMEM, "madvise", "copying a process with so many mappings that are kept from forks");
      }
    }
    auto holders = STASIS_TRY(tracer::hold(wanted, deadline, tree.cancel));
    bool again = false;
    for (std::size_t i = 0; i < count; ++i) {
      if (std::none_of(lines[i].begin(), lines[i].end(), is_unknown)) continue;
      again = find_left_out(STASIS_TRY(procfs::read_maps(holders[i].pid())), lines[i]) || again;
    }
    if (again && attempt == kTries) {
      return Error::plain(ErrorKind::Failed, "copying the process: memory is missing in the copy");
    }
    if (again) continue;
    for (std::size_t i = 0; i < count; ++i) {
      ProcessMemory memory = STASIS_TRY(ProcessMemory::open(holders[i].pid()));
      tree.members[i]->held.reset(new HeldPages(std::move(holders[i]), std::move(memory)));
      STASIS_TRY(tree.members[i]->held->read_wiped(*tree.members[i], std::move(lines[i])));
    }
    return {};
  }
}

Status HeldPages::read_wiped(const Member& member, std::vector<MapLine> lines) {
  for (const MapLine& line : lines) {
    if (!line.has_flag(kWipeOnFork)) continue;
    Wiped& wiped = wiped_.emplace_back();
    wiped.start = line.start;
    wiped.bytes.resize(line.end - line.start);
    STASIS_TRY(member.memory->read(line.start, wiped.bytes));
  }
  at_instant_ = std::move(lines);
  return {};
}

// The copy's mappings are the process's, but that neighbours whose marks differed may be one.
Result<std::vector<MapLine>> HeldPages::lines() const {
  const bool complete = std::all_of(at_instant_.begin(), at_instant_.end(), [](const MapLine& line) {
    return in_window(line) || (!line.vm_flags.empty() && line.vm_flags != kOnlyDontFork);
  });
  const std::vector<MapLine> copy = STASIS_TRY(complete ? procfs::read_maps(pid()) : procfs::read_smaps(pid()));
  std::vector<MapLine> lines = at_instant_;
  std::size_t at = 0;
  for (MapLine& line : lines) {
    if (in_window(line) || line.name == "[vsyscall]") continue;
    while (at < copy.size() && copy[at].end <= line.start) ++at;
    const bool held = at < copy.size() && copy[at].start <= line.start && copy[at].end >= line.end;
    const bool unknown = line.vm_flags.empty() || line.vm_flags == kOnlyDontFork;
    if (!held || (unknown && copy[at].has_flag(kWipeOnFork))) {
      return Error::plain(ErrorKind::Busy, "reading the application's memory: its mappings changed their kind",
                          "try again")
          .with_pid(pid())
          .with_range(line.start, line.end - line.start);
    }
    if (unknown) line.vm_flags = copy[at].vm_flags + line.vm_flags;
  }
  return lines;
}

void HeldPages::mark(std::vector<PlannedMapping>& mappings) const {
  if (wiped_.empty()) return;
  for (PlannedMapping& mapping : mappings) {
    if ((mapping.record.advice & image::kAdviceWipeOnFork) == 0) continue;
    for (Piece& piece : mapping.pieces) piece.rule = PageRule::NonZero;
  }
}

Status HeldPages::read(std::span<const ProcessMemory::Transfer> transfers) const {
  STASIS_TRY(memory_.read(transfers));
  if (wiped_.empty()) return {};
  for (const ProcessMemory::Transfer& transfer : transfers) {
    for (const Wiped& wiped : wiped_) {
      const std::uint64_t start = std::max(transfer.address, wiped.start);
      const std::uint64_t end = std::min(transfer.address + transfer.bytes, wiped.start + wiped.bytes.size());
      if (start < end)
        std::memcpy(transfer.to + (start - transfer.address), &wiped.bytes[start - wiped.start], end - start);
    }
  }
  return {};
}

namespace {

constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};

std::uint64_t number_in(const std::string& path) {
  const auto text = procfs::read_whole(path);
  return text.ok() && !text.value().empty() && text.value()[0] >= '0' && text.value()[0] <= '9'
             ? std::strtoull(text.value().c_str(), nullptr, 10)
             : kUnlimited;
}

// What this control group may still use (memory.max, cgroup v2).
std::uint64_t left_in_control_group() {
  const auto text = procfs::read_whole("/proc/self/cgroup");
  if (!text.ok()) return kUnlimited;
  const auto at = text.value().find("0::/");
  if (at == std::string::npos) return kUnlimited;
  const std::string name = text.value().substr(at + 3, text.value().find('\n', at) - at - 3);
  const std::string group = "/sys/fs/cgroup" + (name == "/" ? std::string() : name);
  const std::uint64_t most = number_in(group + "/memory.max"), used = number_in(group + "/memory.current");
  return most == kUnlimited || used == kUnlimited ? kUnlimited : most - std::min(most, used);
}

std::uint64_t default_limit() {
  const auto text = procfs::read_whole("/proc/meminfo");
  const std::uint64_t available = text.ok() ? procfs::Fields(text.value()).number("MemAvailable") * 1024 : 0;
  return std::min(available, left_in_control_group()) / 2;
}

}  // namespace

bool may_copy(const Tree& tree) {
  const std::uint64_t limit = tree.options.max_copy_bytes != 0 ? tree.options.max_copy_bytes : default_limit();
  std::uint64_t bytes = 0;
  for (const auto& member : tree.members) {
    bytes += (member->status->number("RssAnon") + member->status->number("VmSwap")) * 1024;
  }
  return bytes <= limit;
}

}  // namespace stasis::checkpoint
