// The processes of the application, in the order in which they are made (image/tree.h).
#include "image/tree.h"

#include <csignal>
#include <cstring>

#include "restore/builders.h"

namespace stasis::restore {

namespace {

wire::TaskKind kind_of(image::TreeTaskKind kind) {
  switch (kind) {
    case image::TreeTaskKind::Process:
      return wire::TaskKind::Process;
    case image::TreeTaskKind::Zombie:
      return wire::TaskKind::Zombie;
    case image::TreeTaskKind::Helper:
      return wire::TaskKind::Helper;
  }
  return wire::TaskKind::Helper;
}

std::uint32_t index_of(std::size_t task) {
  return task == image::kNoTask ? wire::kNoTask : static_cast<std::uint32_t>(task);
}

std::uint32_t flags_of(const image::TreeTask& task) {
  return (task.leads_session ? wire::kTaskLeadsSession : 0) | (task.leads_group ? wire::kTaskLeadsGroup : 0) |
         (task.before_setsid ? wire::kTaskBeforeSetsid : 0) | (task.orphan ? wire::kTaskOrphan : 0) |
         (task.reaps_helpers ? wire::kTaskReapsHelpers : 0) | (task.of_helper ? wire::kTaskOfHelper : 0);
}

void describe_process(const image::Process& process, wire::TaskEntry& entry) {
  entry.pid = process.pid;
  entry.parent_pid = process.parent_pid;
  entry.group_id = process.group_id;
  entry.session_id = process.session_id;
  entry.exit_signal = process.exit_signal;
  entry.parent_death_signal = static_cast<std::int32_t>(process.parent_death_signal);
  entry.exit_status = process.exit_status;
  if (process.subreaper) entry.flags |= wire::kTaskSubreaper;
  if (process.state == image::ProcessState::MainEnded) entry.flags |= wire::kTaskMainEnded;
  if (process.state == image::ProcessState::Stopped) {
    entry.flags |= wire::kTaskStopped;
    entry.exit_status = static_cast<std::int32_t>(process.stop_signal);
  }
  std::strncpy(entry.name, process.name.c_str(), sizeof entry.name - 1);
}

}  // namespace

Status plan_tree(const image::Image& image, GroupBuilder& group) {
  const std::vector<image::TreeTask> tasks = STASIS_TRY(image::order_tree(image::tree_of(image)));
  for (const image::TreeTask& task : tasks) {
    wire::TaskEntry entry{};
    entry.kind = kind_of(task.kind);
    entry.flags = flags_of(task);
    entry.pid = entry.group_id = entry.session_id = task.pid;
    entry.maker = index_of(task.maker);
    entry.first_child = index_of(task.first_child);
    entry.child_count = index_of(task.child_count);
    entry.group_task = index_of(task.group_task);
    entry.exit_signal = SIGCHLD;
    entry.terminal_slot = wire::kNoSlot;
    if (task.process != image::kNoTask) {
      const image::Process& process = image.processes[task.process].process;
      describe_process(process, entry);
      if (process.terminal != 0) entry.terminal_slot = group.slot_of(process.terminal, 0);
    }
    group.tasks.push_back({.entry = entry, .process = task.process});
  }
  return {};
}

}  // namespace stasis::restore
