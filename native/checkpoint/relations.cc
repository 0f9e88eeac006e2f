#include "checkpoint/relations.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstring>

#include "image/tree.h"

namespace stasis::checkpoint {

namespace {

// Fields of /proc/PID/stat, proc(5).
enum StatField { kParent = 4, kGroup = 5, kSession = 6, kExitSignal = 38, kExitCode = 52 };

}  // namespace

void ProcessTraits::ask(tracer::ParasiteThread& thread, bool first) {
  using tracer::Parasite;
  if (!first) return;
  place_ = Parasite::reserve(thread, 2 * sizeof(std::uint32_t));
  const auto address = Parasite::data_address(thread, place_);
  subreaper_call_ = Parasite::add(thread, {SYS_prctl, {PR_GET_CHILD_SUBREAPER, address}});
  signal_call_ = Parasite::add(thread, {SYS_prctl, {PR_GET_PDEATHSIG, address + sizeof(std::uint32_t)}});
  dumpable_call_ = Parasite::add(thread, {SYS_prctl, {PR_GET_DUMPABLE}});
}

Status ProcessTraits::take(const tracer::ParasiteThread& thread, bool first) {
  if (!first) return {};
  std::uint32_t values[2];
  std::memcpy(values, thread.data.data() + place_, sizeof values);
  subreaper_ = thread.result(subreaper_call_) == 0 && values[0] != 0;
  if (thread.result(signal_call_) == 0) parent_death_signal_ = values[1];
  dumpable_ = thread.result(dumpable_call_) == 1;
  return {};
}

Status record_relations(const Tree& tree, const Member& member, const ProcessTraits& traits, image::Process& process) {
  const procfs::Stat stat = STASIS_TRY(procfs::read_stat(member.pid()));
  const bool first = member.pid() == tree.options.pid;
  process.orphan = tree.is_orphan(member.pid());
  process.exit_signal = first ? SIGCHLD : static_cast<std::int32_t>(stat.field[kExitSignal]);
  process.subreaper = traits.subreaper();
  process.parent_death_signal = traits.parent_death_signal();
  process.dumpable = traits.dumpable();
  const tracer::Tracee& thread = *member.settled.front().tracee;
  if (thread.tid != member.pid()) process.state = image::ProcessState::MainEnded;
  if (thread.stopped_by != 0) {
    process.state = image::ProcessState::Stopped;
    process.stop_signal = static_cast<std::uint32_t>(thread.stopped_by);
  }
  return {};
}

Result<image::Process> record_zombie(pid_t pid) {
  const procfs::Stat stat = STASIS_TRY(procfs::read_stat(pid));
  image::Process process;
  process.pid = pid;
  process.parent_pid = static_cast<std::int32_t>(stat.field[kParent]);
  process.group_id = static_cast<std::int32_t>(stat.field[kGroup]);
  process.session_id = static_cast<std::int32_t>(stat.field[kSession]);
  process.state = image::ProcessState::Zombie;
  process.exit_signal = static_cast<std::int32_t>(stat.field[kExitSignal]);
  process.exit_status = static_cast<std::int32_t>(stat.field[kExitCode]);
  process.name = STASIS_TRY(procfs::read_text(pid, "comm"));
  if (!process.name.empty() && process.name.back() == '\n') process.name.pop_back();
  return process;
}

void refuse_shared_tables(const Tree& tree, Findings& findings) {
  for (const auto& member : tree.members) {
    const auto stat = procfs::read_stat(member->pid());
    if (!stat.ok()) continue;
    const auto parent = static_cast<pid_t>(stat.value().field[kParent]);
    if (share_memory(parent, member->pid())) {
      findings.add(member->subject.where(),
                   "the memory of its parent, process " + std::to_string(parent) + " (CLONE_VM)",
                   "use threads, or fork without CLONE_VM");
    }
  }
}

void refuse_order(const Tree& tree, Findings& findings) {
  std::vector<image::TreeProcess> processes;
  for (const auto& member : tree.members) {
    const auto stat = procfs::read_stat(member->pid());
    if (!stat.ok()) return;  // it has ended: the next look will see another tree
    const auto parent = static_cast<pid_t>(stat.value().field[kParent]);
    processes.push_back({.pid = member->pid(),
                         .parent_pid = parent,
                         .group_id = static_cast<std::int32_t>(stat.value().field[kGroup]),
                         .session_id = static_cast<std::int32_t>(stat.value().field[kSession]),
                         .zombie = false,
                         .orphan = !processes.empty() && parent == tree.keeper(),
                         .subreaper = false});
  }
  const auto order = image::order_tree(processes);
  if (order.ok()) return;
  findings.add_passing("process " + std::to_string(order.error().pid),
                       "a session or process group that it cannot be put into again",
                       "start it in a session of its own (setsid)");
}

}  // namespace stasis::checkpoint
