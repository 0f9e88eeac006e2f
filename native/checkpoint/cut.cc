#include "checkpoint/cut.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <thread>

#include "checkpoint/refuse.h"

namespace stasis::checkpoint {

namespace {

using Clock = Deadline::Clock;
using std::chrono::milliseconds;

// How long the others are held before the one that does not stop is looked at for a vfork.
constexpr auto kVforkLook = milliseconds(5);
constexpr auto kFirstAttempt = milliseconds(100);
constexpr auto kFirstPause = milliseconds(1);
constexpr std::size_t kStartTime = 22;  // field of /proc/PID/stat
constexpr auto kLongestPause = milliseconds(50);

Error vfork_error(pid_t pid, const tracer::Session::Vfork& vfork) {
  return Error::plain(ErrorKind::Busy,
                      "thread " + std::to_string(vfork.tid) + " waits in vfork for its child " +
                          std::to_string(vfork.child) + " to execute a program or to end",
                      "try again later")
      .with_pid(pid);
}

bool is_gone(const Error& error) { return error.kind == ErrorKind::NotFound; }

class Attempt {
 public:
  Attempt(Tree& tree, Deadline deadline) : tree_(tree), deadline_(deadline) {}

  Status run();
  Clock::time_point begun() const { return begun_; }
  // If the attempt has failed: why, as far as it may be over in a moment.
  bool executed() const;
  std::optional<Error> vfork() const;

 private:
  Status meet(pid_t pid);
  Status seize(Member& member);
  Status stop(Member& member);
  Status stop_known();
  Result<bool> find_new();
  Status settle(Member& member);
  Status put_in_order();
  void drop(const Member& member) {
    std::erase_if(tree_.members, [&](const auto& other) { return other.get() == &member; });
  }
  bool is_first(const Member& member) const { return member.pid() == tree_.options.pid; }

  Tree& tree_;
  Deadline deadline_;
  Clock::time_point begun_ = Clock::now();
  std::set<pid_t> stopped_, zombies_;
  bool executed_ = false;
};

// One that ends meanwhile is no member, and the next round finds what it leaves.
Status Attempt::meet(pid_t pid) {
  if (tree_.find(pid) != nullptr) return {};
  auto member = tree_.open(pid);
  if (!member.ok()) return is_gone(member.error()) ? Status() : member.error();
  tree_.members.push_back(std::move(member).value());
  return {};
}

Status Attempt::seize(Member& member) {
  member.session.reset();
  member.status = STASIS_TRY(procfs::read_status(member.pid()));
  const auto stat = STASIS_TRY(procfs::read_stat(member.pid()));
  if (stat.field[kStartTime] != member.start_time) {
    return Error::plain(ErrorKind::NotFound, "the process is gone and its id belongs to another")
        .with_pid(member.pid());
  }
  member.session.emplace(STASIS_TRY(tracer::Session::seize(member.pid(), tracer::rewinding(member.caught()))));
  return {};
}

// A process is not even seized before its parent is stopped: one that the parent waits for in vfork(2) would stop at the
// next signal, such as the runtime's own SIGSYS.
Status Attempt::stop(Member& member) {
  STASIS_TRY(seize(member));
  while (true) {
    const auto now = Clock::now();
    const Deadline look = Deadline::at(std::min(now + kVforkLook, deadline_.time()));
    Status stopped = member.session->stop_all(look, tree_.cancel);
    if (stopped.ok()) return {};
    if (stopped.error().kind != ErrorKind::Timeout || deadline_.passed()) return stopped;
    const auto vfork = member.session->vfork_in_flight();
    if (vfork.tid != 0) return vfork_error(member.pid(), vfork);
  }
}

// Parents stand before their children, newcomers last.
Status Attempt::stop_known() {
  for (std::size_t i = 0; i < tree_.members.size();) {
    Member& member = *tree_.members[i];
    if (stopped_.contains(member.pid())) {
      ++i;
      continue;
    }
    Status stopped = stop(member);
    if (!stopped.ok() && !is_gone(stopped.error())) return stopped;
    if (!stopped.ok() || member.session->threads().empty()) {
      if (is_first(member)) {
        return Error::plain(ErrorKind::NotFound, "the application ended while it was being stopped")
            .with_pid(member.pid());
      }
      drop(member);
      continue;
    }
    stopped_.insert(member.pid());
    ++i;
  }
  return {};
}

// Orphans may go to a member too (PR_SET_CHILD_SUBREAPER), so every round asks all.
Result<bool> Attempt::find_new() {
  zombies_.clear();
  bool fresh = false;
  for (const Relative& relative : STASIS_TRY(tree_.relatives())) {
    if (relative.ended) {
      zombies_.insert(relative.pid);
      continue;
    }
    if (stopped_.contains(relative.pid)) continue;
    STASIS_TRY(meet(relative.pid));
    fresh = true;
  }
  return fresh;
}

Status Attempt::settle(Member& member) {
  // Between the look and the stop the process may have executed something.
  auto memory = ProcessMemory::open(member.pid());
  if (!memory.ok()) {
    executed_ = !is_first(member);  // or it is being killed
    return std::move(memory).error();
  }
  member.memory.emplace(std::move(memory).value());
  Status runtime = read_runtime(*member.memory, member.subject);
  if (!runtime.ok() || member.subject.runtime_build_id.empty()) {
    executed_ = true;
    return Error::plain(ErrorKind::Busy, "the application executed another program just now", "try again")
        .with_pid(member.pid());
  }
  member.status = STASIS_TRY(procfs::read_status(member.pid()));
  member.settled = STASIS_TRY(tracer::quiesce(*member.session, *member.memory, member.subject.runtime, member.caught(),
                                              deadline_, tree_.cancel));
  return {};
}

Status Attempt::run() {
  std::set<pid_t> settled;
  while (true) {
    STASIS_TRY(stop_known());
    if (deadline_.passed()) {
      return tracer::timed_out(tree_.options.pid, tree_.options.pid, "stopping the application's processes");
    }
    if (STASIS_TRY(find_new())) continue;
    bool all = true;
    for (std::size_t i = 0; i < tree_.members.size(); ++i) {
      Member& member = *tree_.members[i];
      if (!settled.insert(member.pid()).second) continue;
      all = false;
      STASIS_TRY(settle(member));
    }
    if (all) return put_in_order();
  }
}

// Processes may have got another parent since they were found.
Status Attempt::put_in_order() {
  std::vector<std::unique_ptr<Member>> ordered;
  for (const Relative& relative : STASIS_TRY(tree_.relatives())) {
    const auto found = std::find_if(tree_.members.begin(), tree_.members.end(), [&](const auto& member) {
      return member != nullptr && member->pid() == relative.pid;
    });
    if (found != tree_.members.end()) ordered.push_back(std::move(*found));
  }
  std::erase(tree_.members, nullptr);
  // Only a process that was killed while it was held is no relative any more.
  tree_.members = std::move(ordered);
  tree_.zombies.assign(zombies_.begin(), zombies_.end());
  return {};
}

bool Attempt::executed() const {
  return executed_ || std::any_of(tree_.members.begin(), tree_.members.end(), [](const auto& member) {
           return member->session.has_value() && member->session->executed();
         });
}

std::optional<Error> Attempt::vfork() const {
  for (const auto& member : tree_.members) {
    if (!member->session.has_value()) continue;
    const auto vfork = member->session->vfork_in_flight();
    if (vfork.tid != 0) return vfork_error(member->pid(), vfork);
  }
  return std::nullopt;
}

}  // namespace

Status cut(Tree& tree, Deadline deadline, const std::function<Status()>& look_again, Clock::time_point& begun) {
  auto bound = kFirstAttempt;
  auto pause = kFirstPause;
  while (true) {
    Attempt attempt(tree, Deadline::at(std::min(Clock::now() + bound, deadline.time())));
    Status status = attempt.run();
    begun = attempt.begun();
    if (status.ok()) return status;
    Error error = std::move(status).error();
    const bool executed = attempt.executed();
    bool passing = executed || error.kind == ErrorKind::Timeout;
    if (error.kind == ErrorKind::Timeout) bound *= 2;
    if (auto vfork = attempt.vfork()) {
      error = *std::move(vfork);
      passing = true;
    }
    tree.let_go();
    if (!passing || Clock::now() + pause >= deadline.time()) return error;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
    if (executed) STASIS_TRY(look_again());
  }
}

}  // namespace stasis::checkpoint
