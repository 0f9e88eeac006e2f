#include "checkpoint/tree.h"

#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "os/pidfd.h"

namespace stasis::checkpoint {

namespace {

constexpr std::size_t kParent = 4, kSession = 6, kStartTime = 22;  // fields of /proc/PID/stat
constexpr const char* kKeeperName = "stasis-keeper";

bool has_ended(pid_t pid) {
  const auto stat = procfs::read_stat(pid);
  if (!stat.ok()) return true;
  if (stat.value().state != 'Z' && stat.value().state != 'X') return false;
  const auto threads = procfs::list_threads(pid);  // a main thread may end before the others
  return !threads.ok() || threads.value().size() <= 1;
}

}  // namespace

Member* Tree::find(pid_t pid) {
  const auto found = std::find_if(members.begin(), members.end(), [pid](const auto& m) { return m->pid() == pid; });
  return found == members.end() ? nullptr : found->get();
}

pid_t Tree::keeper() const {
  const auto stat = procfs::read_stat(options.pid);
  if (!stat.ok()) return 0;
  const auto parent = static_cast<pid_t>(stat.value().field[kParent]);
  const auto name = procfs::read_text(parent, "comm");
  return name.ok() && name.value().rfind(kKeeperName, 0) == 0 ? parent : 0;
}

// Without its keeper an application's orphans have gone to somebody else. Those that stayed in its session are found by that,
// and by the runtime that they execute.
std::vector<pid_t> Tree::orphans_of_nobody() const {
  const auto program = procfs::read_link(options.pid, "exe");
  const auto first = procfs::read_stat(options.pid);
  const auto all = procfs::list_processes();
  if (!program.ok() || !first.ok() || !all.ok()) return {};
  const auto runs_it = [&](pid_t pid) {
    const auto exe = procfs::read_link(pid, "exe");
    return exe.ok() && exe.value() == program.value();
  };
  std::vector<pid_t> result;
  for (const pid_t pid : all.value()) {
    if (pid == options.pid || !runs_it(pid)) continue;
    const auto stat = procfs::read_stat(pid);
    if (!stat.ok() || stat.value().field[kSession] != first.value().field[kSession]) continue;
    if (!runs_it(static_cast<pid_t>(stat.value().field[kParent]))) result.push_back(pid);
  }
  return result;
}

bool Tree::is_orphan(pid_t pid) const {
  const auto stat = procfs::read_stat(pid);
  if (pid == options.pid || !stat.ok()) return false;
  const auto parent = static_cast<pid_t>(stat.value().field[kParent]);
  return std::none_of(members.begin(), members.end(), [parent](const auto& member) { return member->pid() == parent; });
}

std::vector<pid_t> Tree::orphans() const {
  const pid_t keeper = this->keeper();
  if (keeper == 0) return orphans_of_nobody();
  const auto children = procfs::list_children(keeper);
  const auto program = procfs::read_link(keeper, "exe");
  if (!children.ok() || !program.ok()) return {};
  std::vector<pid_t> result;
  for (const pid_t child : children.value()) {
    if (child == options.pid || has_ended(child)) continue;  // the keeper is about to reap it
    // The keeper has helpers of its own, on its own program.
    const auto exe = procfs::read_link(child, "exe");
    if (!exe.ok() || exe.value() != program.value()) result.push_back(child);
  }
  return result;
}

Result<std::vector<Relative>> Tree::relatives() const {
  std::vector<Relative> result{{options.pid, 0, false, false}};
  for (const pid_t orphan : orphans()) result.push_back({orphan, 0, false, true});
  for (std::size_t i = 0; i < result.size(); ++i) {
    const pid_t parent = result[i].pid;
    if (result[i].ended) continue;
    auto children = procfs::list_children(parent);
    if (!children.ok() && i > 0) continue;
    for (const pid_t child : STASIS_TRY(std::move(children))) {
      const bool known = std::any_of(result.begin(), result.end(), [child](const auto& r) { return r.pid == child; });
      if (!known) result.push_back({child, parent, has_ended(child), false});
    }
  }
  return result;
}

Result<std::unique_ptr<Member>> Tree::open(pid_t pid) const {
  procfs::find_stand_in(pid);
  auto process = open_process(pid);
  if (!process.ok() && process.error().error == EINVAL && procfs::stand_in_of(pid) != pid) {
    return Error::plain(ErrorKind::Unsupported,
                        "the application has something that cannot be saved: the main thread of process " +
                            std::to_string(pid) + " has ended while other threads go on",
                        "let the main thread wait for the others (pthread_join), or use a kernel of 6.9 or later")
        .with_pid(pid);
  }
  if (!process.ok()) return std::move(process).error().with_kind(ErrorKind::NotFound).with_pid(pid);
  auto member = std::make_unique<Member>(Subject{options, cancel, pid, std::move(process).value(), Phase::Before});
  const procfs::Stat stat = STASIS_TRY(procfs::read_stat(pid));
  member->start_time = stat.field[kStartTime];
  return member;
}

Members Tree::subjects() {
  const auto is_one = [](const Subject* subject, const auto& member) { return subject == &member->subject; };
  if (!std::equal(subjects_.begin(), subjects_.end(), members.begin(), members.end(), is_one)) {
    subjects_.clear();
    for (const auto& member : members) subjects_.push_back(&member->subject);
  }
  return subjects_;
}

void Tree::set_phase(Phase phase) {
  for (const auto& member : members) member->subject.phase = phase;
}

void Tree::let_go() {
  for (const auto& member : members) member->session.reset();
}

bool share_memory(pid_t first, pid_t second) {
  return ::syscall(SYS_kcmp, procfs::stand_in_of(first), procfs::stand_in_of(second), KCMP_VM, 0, 0) == 0;
}

}  // namespace stasis::checkpoint
