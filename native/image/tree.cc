#include "image/tree.h"

#include <algorithm>
#include <map>
#include <string>

#include "wire/ids.h"

namespace stasis::image {

namespace {

constexpr std::int32_t kAny = 0;  // a session that does not matter
constexpr std::size_t kKeeper = kNoTask - 1;

// A task while the order is found: `maker` and `group_task` are indices of the same list.
struct Node {
  TreeTask task;
  std::int32_t session = kAny;  // in the end
  std::int32_t birth = kAny;    // in which it has to be made
  std::vector<std::size_t> children;
};

class TreeOrder {
 public:
  explicit TreeOrder(std::span<const TreeProcess> processes) : processes_(processes), nodes_(processes.size()) {}

  Result<std::vector<TreeTask>> run();

 private:
  Status find_parents();
  Status find_births(std::size_t index, std::size_t depth);
  Status find_makers();
  Status find_maker(std::size_t index);
  Status make_by_helper(std::size_t index, std::int32_t session);
  void find_groups();
  void join(std::size_t index, std::int32_t group);
  std::vector<TreeTask> laid_out() const;
  Status verify(const std::vector<TreeTask>& tasks) const;

  std::size_t add_helper(std::size_t maker, std::int32_t session);
  bool is_made(std::size_t index) const;
  bool is_subreaper(std::size_t index) const;
  std::size_t reaper_of(std::size_t index) const;
  std::int32_t group_at_birth(std::size_t index) const;
  bool leads_session(std::size_t index) const {
    return index != 0 && processes_[index].session_id == processes_[index].pid;
  }

  std::span<const TreeProcess> processes_;
  std::vector<Node> nodes_;           // processes first, then helpers
  std::vector<std::size_t> parents_;  // of processes: index or kKeeper
  std::map<std::int32_t, std::size_t> by_pid_;
  std::map<std::int32_t, std::size_t> group_leaders_;    // tasks that lead one, by the group
  std::map<std::int32_t, std::size_t> session_helpers_;  // by the session
};

Error cannot(const TreeProcess& process, const std::string& why) {
  return Error::plain(ErrorKind::Unsupported, "process " + std::to_string(process.pid) + " " + why)
      .with_pid(process.pid);
}

Status TreeOrder::find_parents() {
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    if (!by_pid_.emplace(processes_[i].pid, i).second)
      return Error::plain(ErrorKind::Damaged, "process id " + std::to_string(processes_[i].pid) + " occurs twice");
  }
  parents_.assign(processes_.size(), kKeeper);
  for (std::size_t i = 1; i < processes_.size(); ++i) {
    const auto found = by_pid_.find(processes_[i].parent_pid);
    if (processes_[i].orphan || found == by_pid_.end()) continue;
    if (processes_[found->second].zombie) return cannot(processes_[i], "is the child of one that has ended");
    parents_[i] = found->second;
  }
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    std::size_t steps = 0;
    for (std::size_t at = i; at != kKeeper; at = parents_[at]) {
      if (++steps > processes_.size()) return Error::plain(ErrorKind::Damaged, "processes are each other's parents");
    }
    nodes_[i].task.process = i;
    nodes_[i].task.kind = processes_[i].zombie ? TreeTaskKind::Zombie : TreeTaskKind::Process;
    nodes_[i].task.pid = processes_[i].pid;
    nodes_[i].task.leads_session = leads_session(i);
    nodes_[i].session = processes_[i].session_id;
    nodes_[i].birth = leads_session(i) ? kAny : processes_[i].session_id;
  }
  return {};
}

// Of a leader: the session that a child of it was made in before it led its own, if it can have been in that one.
Status TreeOrder::find_births(std::size_t index, std::size_t depth) {
  if (depth > processes_.size()) return Error::plain(ErrorKind::Damaged, "processes are each other's parents");
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    if (i != index && parents_[i] == index) STASIS_TRY(find_births(i, depth + 1));
  }
  if (!leads_session(index)) return {};
  for (std::size_t i = 0; i < processes_.size() && nodes_[index].birth == kAny; ++i) {
    const std::int32_t session = nodes_[i].birth;
    if (parents_[i] != index || session == kAny || session == nodes_[index].session) continue;
    for (std::size_t above = parents_[index] == kKeeper ? 0 : parents_[index]; above != kKeeper;
         above = leads_session(above) ? parents_[above] : kKeeper) {
      if (nodes_[above].session == session) nodes_[index].birth = session;
    }
  }
  return {};
}

bool TreeOrder::is_subreaper(std::size_t index) const {
  return (index < processes_.size() && processes_[index].subreaper) || nodes_[index].task.reaps_helpers;
}

// Whether its makers up to the first process are known: it is not made by somebody who is still to be made.
bool TreeOrder::is_made(std::size_t index) const {
  while (index != 0 && index != kNoTask) index = nodes_[index].task.maker;
  return index == 0;
}

// Who gets the children of the task when it ends; itself not.
std::size_t TreeOrder::reaper_of(std::size_t index) const {
  for (;;) {
    if (nodes_[index].task.orphan || nodes_[index].task.maker == kNoTask) return kKeeper;
    // The child of one that ends has a parent of its own by then.
    index = index < processes_.size() ? parents_[index] : nodes_[index].task.maker;
    if (index == kKeeper) return kKeeper;
    if (is_subreaper(index)) return index;
  }
}

std::size_t TreeOrder::add_helper(std::size_t maker, std::int32_t session) {
  Node helper;
  helper.task.kind = TreeTaskKind::Helper;
  helper.task.maker = maker;
  helper.session = session;
  nodes_.push_back(helper);
  return nodes_.size() - 1;
}

// Somebody in the session whose children the process's parent gets.
Status TreeOrder::make_by_helper(std::size_t index, std::int32_t session) {
  const std::size_t parent = parents_[index];
  nodes_[index].task.of_helper = true;
  if (parent != kKeeper && !is_subreaper(parent)) nodes_[parent].task.reaps_helpers = true;
  if (const auto found = session_helpers_.find(session); found != session_helpers_.end()) {
    if (reaper_of(found->second) == parent) {
      nodes_[index].task.maker = found->second;
      return {};
    }
  }
  bool has_members = false;
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    if (i == index || nodes_[i].session != session) continue;
    if (!is_made(i)) continue;
    has_members = true;
    if (processes_[i].zombie && reaper_of(i) == parent) {
      nodes_[index].task.maker = i;
      return {};
    }
    // A helper below it: its children go to it if it is a subreaper, else to whom its own would.
    if (!processes_[i].zombie && (is_subreaper(i) ? i : reaper_of(i)) == parent) {
      const std::size_t helper = add_helper(i, session);
      nodes_[index].task.maker = helper;
      return {};
    }
  }
  if (by_pid_.contains(session) || has_members || session_helpers_.contains(session)) {
    return cannot(processes_[index], "is in session " + std::to_string(session) +
                                         ", where its parent is not, and no order of making them leads to that");
  }
  const std::size_t helper = add_helper(parent == kKeeper ? 0 : parent, session);
  nodes_[helper].task.orphan = parent == kKeeper;
  nodes_[helper].task.leads_session = true;
  nodes_[helper].task.pid = session;
  session_helpers_[session] = helper;
  group_leaders_[session] = helper;
  nodes_[index].task.maker = helper;
  return {};
}

Status TreeOrder::find_maker(std::size_t index) {
  Node& node = nodes_[index];
  const std::size_t parent = parents_[index], maker = parent == kKeeper ? 0 : parent;
  const bool after = node.birth == kAny || node.birth == nodes_[maker].session;
  const bool before = !after && parent != kKeeper && leads_session(maker) && node.birth == nodes_[maker].birth;
  if (!after && !before) return make_by_helper(index, node.birth);
  node.task.maker = maker;
  node.task.orphan = parent == kKeeper;
  node.task.before_setsid = before;
  return {};
}

// Those of whom others may be made first: parents, then what a helper has to make, which needs members of its session.
Status TreeOrder::find_makers() {
  std::vector<std::size_t> late;
  for (std::size_t i = 1; i < processes_.size(); ++i) {
    const std::size_t parent = parents_[i], maker = parent == kKeeper ? 0 : parent;
    const std::int32_t birth = nodes_[i].birth;
    const bool by_parent = birth == kAny || birth == nodes_[maker].session ||
                           (parent != kKeeper && leads_session(maker) && birth == nodes_[maker].birth);
    if (by_parent) {
      STASIS_TRY(find_maker(i));
    } else {
      late.push_back(i);
    }
  }
  while (!late.empty()) {
    // What one of them cannot have yet, another may bring: somebody in its session.
    std::vector<std::size_t> later;
    Status refusal;
    for (const std::size_t i : late) {
      Status made = find_maker(i);
      if (made.ok()) continue;
      if (later.empty()) refusal = std::move(made);
      later.push_back(i);
    }
    if (later.size() == late.size()) return refusal;
    late = later;
  }
  return {};
}

// The group that the maker is in when it makes the task.
std::int32_t TreeOrder::group_at_birth(std::size_t index) const {
  for (std::size_t at = index;;) {
    const TreeTask& task = nodes_[at].task;
    if (at == 0) return processes_[0].group_id;
    const std::size_t maker = task.maker;
    const TreeTask& made_by = nodes_[maker].task;
    if (!task.before_setsid && (made_by.leads_session || made_by.leads_group)) return made_by.pid;
    at = maker;
  }
}

void TreeOrder::join(std::size_t index, std::int32_t group) {
  if (group_at_birth(index) == group) return;
  if (group == processes_[0].group_id) {
    nodes_[index].task.group_task = 0;
    return;
  }
  if (const auto found = group_leaders_.find(group); found != group_leaders_.end()) {
    nodes_[index].task.group_task = found->second;
    return;
  }
  std::size_t maker = index;
  if (processes_[index].zombie) {
    // It makes nobody any more. Of a zombie alone in a group little can be seen: it stays where it began.
    maker = nodes_[index].task.maker;
    if (nodes_[maker].task.kind != TreeTaskKind::Process || nodes_[maker].session != nodes_[index].session) return;
  }
  const std::size_t helper = add_helper(maker, nodes_[index].session);
  nodes_[helper].task.leads_group = true;
  nodes_[helper].task.pid = group;
  group_leaders_[group] = helper;
  nodes_[index].task.group_task = helper;
}

void TreeOrder::find_groups() {
  for (std::size_t i = 1; i < processes_.size(); ++i) {
    if (processes_[i].group_id != processes_[i].pid) continue;
    nodes_[i].task.leads_group = !nodes_[i].task.leads_session;
    group_leaders_[processes_[i].pid] = i;
  }
  for (std::size_t i = 1; i < processes_.size(); ++i) {
    if (processes_[i].group_id != processes_[i].pid) join(i, processes_[i].group_id);
  }
}

std::vector<TreeTask> TreeOrder::laid_out() const {
  std::vector<Node> nodes = nodes_;
  for (std::size_t i = 1; i < nodes.size(); ++i) nodes[nodes[i].task.maker].children.push_back(i);
  const auto rank = [&](std::size_t index) {
    const TreeTask& task = nodes[index].task;
    return (task.before_setsid ? 0 : 3) + static_cast<int>(task.kind == TreeTaskKind::Process  ? 0
                                                           : task.kind == TreeTaskKind::Helper ? 1
                                                                                               : 2);
  };
  std::vector<std::size_t> order{0}, places(nodes.size(), 0);
  for (std::size_t at = 0; at < order.size(); ++at) {
    std::vector<std::size_t>& children = nodes[order[at]].children;
    std::stable_sort(children.begin(), children.end(), [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
    nodes[order[at]].task.first_child = order.size();
    nodes[order[at]].task.child_count = children.size();
    for (const std::size_t child : children) {
      places[child] = order.size();
      order.push_back(child);
    }
  }
  std::vector<TreeTask> tasks;
  for (const std::size_t index : order) {
    TreeTask task = nodes[index].task;
    if (index != 0) task.maker = places[task.maker];
    if (task.group_task != kNoTask) task.group_task = places[task.group_task];
    tasks.push_back(task);
  }
  return tasks;
}

// What the kernel would make of it, compared with what is wanted: the rules above are rules of thumb.
Status TreeOrder::verify(const std::vector<TreeTask>& tasks) const {
  std::vector<std::size_t> parents(tasks.size(), kKeeper);
  std::vector<std::int32_t> births(tasks.size()), sessions(tasks.size()), groups(tasks.size());
  if (tasks.size() != nodes_.size()) return Error::plain(ErrorKind::Damaged, "processes are each other's makers");
  const auto reaps = [&](std::size_t at) {
    return tasks[at].reaps_helpers || (tasks[at].process != kNoTask && processes_[tasks[at].process].subreaper);
  };
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const TreeTask& task = tasks[i];
    if (i != 0) parents[i] = task.orphan ? kKeeper : task.maker;
    births[i] = i == 0 ? processes_[0].session_id : task.before_setsid ? births[task.maker] : sessions[task.maker];
    sessions[i] = task.leads_session ? task.pid : births[i];
  }
  for (std::size_t i = 1; i < tasks.size(); ++i) {
    const TreeTask& task = tasks[i];
    if (task.process == kNoTask) continue;
    const TreeProcess& process = processes_[task.process];
    std::size_t parent = parents[i];
    if (parent != kKeeper && tasks[parent].kind != TreeTaskKind::Process) {
      do parent = parents[parent];
      while (parent != kKeeper && (tasks[parent].kind != TreeTaskKind::Process || !reaps(parent)));
    }
    const std::size_t wanted = parents_[task.process];
    const bool right_parent =
        parent == kKeeper ? wanted == kKeeper : wanted != kKeeper && tasks[parent].process == wanted;
    const bool right_group = task.group_task == kNoTask || sessions[task.group_task] == sessions[i];
    if (!right_parent || !right_group || sessions[i] != process.session_id)
      return cannot(process, "is in a session or group that no order of making processes leads to");
  }
  return {};
}

Result<std::vector<TreeTask>> TreeOrder::run() {
  if (processes_.empty()) return Error::plain(ErrorKind::Damaged, "there is no process");
  STASIS_TRY(find_parents());
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    if (parents_[i] == kKeeper) STASIS_TRY(find_births(i, 0));
  }
  STASIS_TRY(find_makers());
  find_groups();
  std::vector<TreeTask> tasks = laid_out();
  const auto helpers = std::count_if(tasks.begin(), tasks.end(), [](const TreeTask& task) {
    return task.kind == TreeTaskKind::Helper && task.pid != 0;
  });
  if (helpers > static_cast<std::ptrdiff_t>(wire::kMostIdHelpers)) {
    return cannot(processes_.front(), "has " + std::to_string(helpers) +
                                          " groups and sessions whose leaders have ended; there can be " +
                                          std::to_string(wire::kMostIdHelpers));
  }
  STASIS_TRY(verify(tasks));
  return tasks;
}

}  // namespace

Result<std::vector<TreeTask>> order_tree(std::span<const TreeProcess> processes) { return TreeOrder(processes).run(); }

std::vector<TreeProcess> tree_of(const Image& image) {
  std::vector<TreeProcess> processes;
  for (const ProcessImage& section : image.processes) {
    const Process& process = section.process;
    processes.push_back({.pid = process.pid,
                         .parent_pid = process.parent_pid,
                         .group_id = process.group_id,
                         .session_id = process.session_id,
                         .zombie = process.state == ProcessState::Zombie,
                         .orphan = process.orphan,
                         .subreaper = process.subreaper});
  }
  return processes;
}

}  // namespace stasis::image
