// Ids as records: the kernel's, which the other files of this directory have recorded, become those that the program
// knows. Without a translation table they are the same.
#include <algorithm>
#include <cstring>
#include <set>

#include "checkpoint/records.h"

namespace stasis::checkpoint {

namespace {

using wire::IdState;

// Of processes and threads that have ended, those seen last: a program that has had a million remembers few of them.
constexpr std::size_t kMostEnded = 10'000;

Status translate_process(const IdTable& ids, image::Process& process) {
  const auto replace = [](std::int32_t& id, Result<std::uint32_t> found) -> Status {
    id = static_cast<std::int32_t>(STASIS_TRY(std::move(found)));
    return {};
  };
  const auto number = [](std::int32_t id) { return static_cast<std::uint32_t>(id); };
  STASIS_TRY(replace(process.group_id, ids.virtual_group(number(process.group_id))));
  STASIS_TRY(replace(process.session_id, ids.virtual_session(number(process.session_id))));
  STASIS_TRY(replace(process.parent_pid, ids.virtual_process(number(process.parent_pid))));
  return replace(process.pid, ids.virtual_process(number(process.pid)));
}

// Of a thread that lives, so it has one.
Result<std::int32_t> virtual_thread(const IdTable& ids, std::int32_t tid) {
  const auto found = STASIS_TRY(ids.virtual_process(static_cast<std::uint32_t>(tid)));
  if (found != 0) return static_cast<std::int32_t>(found);
  return Error::plain(ErrorKind::Failed, "a thread is not in the application's table of ids").with_tid(tid);
}

bool names_sender(const siginfo_t& info) {
  if (info.si_code == SI_TIMER || info.si_code == SI_ASYNCIO) return false;
  return info.si_code <= 0 || (info.si_signo == SIGCHLD && info.si_code <= CLD_CONTINUED);
}

Status translate_signal(const IdTable& ids, image::QueuedSignal& queued) {
  if (queued.tid != 0) queued.tid = STASIS_TRY(virtual_thread(ids, queued.tid));
  siginfo_t info;
  std::memcpy(&info, queued.info.data(), sizeof info);
  if (!names_sender(info)) return {};
  // A sender that the program has never met gets the number that the kernel gives for one in another namespace: 0.
  info.si_pid = static_cast<pid_t>(STASIS_TRY(ids.virtual_process(static_cast<std::uint32_t>(info.si_pid))));
  std::memcpy(queued.info.data(), &info, sizeof info);
  return {};
}

// A clock of a process or thread has its id in it (clock_getcpuclockid(3)): ~id << 3 | kind; no id is the caller's own.
Status translate_clock(const IdTable& ids, std::int32_t& clock) {
  constexpr std::int32_t kKindBits = 3, kDescriptorClock = 3;
  if (clock >= 0 || (clock & kKindBits) == kDescriptorClock) return {};
  const std::int32_t system_id = ~(clock >> 3);
  if (system_id == 0) return {};
  const std::uint32_t id = STASIS_TRY(ids.virtual_process(static_cast<std::uint32_t>(system_id)));
  clock = static_cast<std::int32_t>(~id << 3 | (static_cast<std::uint32_t>(clock) & 7));
  return {};
}

Status translate_timers(const IdTable& ids, const std::vector<IdRow>& rows, image::ProcessImage& section) {
  for (image::PosixTimer& timer : section.posix_timers) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const IdRow& candidate) {
      return candidate.kind == wire::IdKind::Timer && candidate.system_id == static_cast<std::uint32_t>(timer.id) &&
             candidate.owner == static_cast<std::uint32_t>(section.process.pid);
    });
    if (row != rows.end()) timer.id = static_cast<std::int32_t>(row->virtual_id);
    if (timer.tid != 0) timer.tid = STASIS_TRY(virtual_thread(ids, timer.tid));
    STASIS_TRY(translate_clock(ids, timer.clock));
  }
  return {};
}

image::KnownIds known_ids(std::vector<IdRow> rows, const std::set<std::uint32_t>& alive) {
  std::erase_if(rows, [&](const IdRow& row) {
    return row.kind != wire::IdKind::Process || (row.flags & wire::kIdForeign) != 0 || alive.contains(row.virtual_id);
  });
  // Whatever is said to live beside these has ended: there are no other members.
  const auto ended =
      std::partition(rows.begin(), rows.end(), [](const IdRow& row) { return row.state == IdState::Known; });
  if (static_cast<std::size_t>(rows.end() - ended) > kMostEnded) {
    std::sort(ended, rows.end(), [](const IdRow& a, const IdRow& b) { return a.seen > b.seen; });
    rows.resize(static_cast<std::size_t>(ended - rows.begin()) + kMostEnded);
  }
  image::KnownIds known;
  for (const IdRow& row : rows) known.processes.push_back(row.virtual_id);
  std::sort(known.processes.begin(), known.processes.end());
  return known;
}

}  // namespace

Status translate_ids(Members members, image::Image& image) {
  if (!members.front()->ids.has_value()) return {};
  const IdTable& ids = *members.front()->ids;  // one table for all of them
  const std::vector<IdRow> rows = STASIS_TRY(ids.rows());
  std::set<std::uint32_t> alive;
  for (image::ProcessImage& section : image.processes) {
    STASIS_TRY(translate_process(ids, section.process));
    alive.insert(static_cast<std::uint32_t>(section.process.pid));
    for (image::Thread& thread : section.threads) {
      thread.tid = STASIS_TRY(virtual_thread(ids, thread.tid));
      alive.insert(static_cast<std::uint32_t>(thread.tid));
    }
    for (image::QueuedSignal& queued : section.queued_signals) STASIS_TRY(translate_signal(ids, queued));
    for (image::Scheduling& record : section.scheduling) record.tid = STASIS_TRY(virtual_thread(ids, record.tid));
    STASIS_TRY(translate_timers(ids, rows, section));
  }
  image.known_ids = {known_ids(rows, alive)};
  return {};
}

}  // namespace stasis::checkpoint
