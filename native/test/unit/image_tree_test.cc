// The order in which processes are made again: known shapes, and histories at random, whose outcome is made by the rules
// of the kernel, put in order, and made again by the same rules.
#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "image/tree.h"
#include "test/check.h"

namespace stasis::test {

namespace {

using namespace image;

constexpr std::int32_t kKeeperPid = 1;

struct Made {
  std::int32_t pid, parent, group, session;
  bool zombie = false, subreaper = false, gone = false;
};

// As the kernel keeps them; the keeper is a subreaper above all.
class World {
 public:
  explicit World(std::int32_t group, std::int32_t session) {
    processes_[first_] = {.pid = first_, .parent = kKeeperPid, .group = group, .session = session};
  }

  std::int32_t fork(std::int32_t maker) {
    const std::int32_t pid = next_++;
    processes_[pid] = {
        .pid = pid, .parent = maker, .group = processes_[maker].group, .session = processes_[maker].session};
    return pid;
  }
  bool setsid(std::int32_t pid) {
    for (const auto& [id, other] : processes_) {
      if (!other.gone && other.group == pid) return false;
    }
    processes_[pid].session = processes_[pid].group = pid;
    return true;
  }
  bool setpgid(std::int32_t pid, std::int32_t group) {
    if (processes_[pid].session == pid) return false;
    bool exists = group == pid;
    for (const auto& [id, other] : processes_)
      exists = exists || (!other.gone && other.group == group && other.session == processes_[pid].session);
    if (exists) processes_[pid].group = group;
    return exists;
  }
  void end(std::int32_t pid, bool reaped) {
    Made& ended = processes_[pid];
    ended.zombie = true;
    ended.gone = reaped || ended.parent == kKeeperPid;
    const std::int32_t reaper = reaper_above(pid);
    for (auto& [id, child] : processes_) {
      if (child.gone || child.parent != pid) continue;
      child.parent = reaper;
      if (child.zombie && reaper == kKeeperPid) child.gone = true;
    }
  }
  std::int32_t reaper_above(std::int32_t pid) {
    for (pid = processes_[pid].parent; pid != kKeeperPid && !processes_[pid].subreaper;) pid = processes_[pid].parent;
    return pid;
  }

  std::vector<std::int32_t> living() const {
    std::vector<std::int32_t> pids;
    for (const auto& [id, process] : processes_) {
      if (!process.zombie) pids.push_back(id);
    }
    return pids;
  }
  Made& operator[](std::int32_t pid) { return processes_[pid]; }

  std::vector<TreeProcess> picture() const {
    std::vector<TreeProcess> picture;
    for (const auto& [id, process] : processes_) {
      if (process.gone) continue;
      picture.push_back({.pid = id,
                         .parent_pid = process.parent,
                         .group_id = process.group,
                         .session_id = process.session,
                         .zombie = process.zombie,
                         .orphan = id != first_ && process.parent == kKeeperPid,
                         .subreaper = process.subreaper});
    }
    return picture;
  }

 private:
  static constexpr std::int32_t first_ = 100;
  std::int32_t next_ = 101;
  std::map<std::int32_t, Made> processes_;
};

struct Picture {
  std::int32_t parent, group, session;
  bool zombie;
  bool operator==(const Picture&) const = default;
};

// What the tasks come to, each doing in its place what the runtime does.
class Rebuilt {
 public:
  Rebuilt(const std::vector<TreeProcess>& wanted, const std::vector<TreeTask>& tasks)
      : wanted_(wanted), tasks_(tasks), groups_(tasks.size()), sessions_(tasks.size()), parents_(tasks.size()) {
    groups_[0] = wanted[0].group_id;
    sessions_[0] = wanted[0].session_id;
    parents_[0] = kNoTask;
    make(0);
    std::vector<std::int32_t> joined = groups_;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      if (tasks[i].group_task == kNoTask) continue;
      const std::size_t leader = tasks[i].group_task;
      right_ = right_ && sessions_[leader] == sessions_[i] && !(tasks[i].leads_session && i != 0);
      joined[i] = groups_[leader];
    }
    groups_ = joined;
  }

  bool right() const { return right_; }

  std::map<std::int32_t, Picture> picture() const {
    std::map<std::int32_t, Picture> picture;
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      if (tasks_[i].process == kNoTask) continue;
      const TreeProcess& process = wanted_[tasks_[i].process];
      std::size_t parent = parents_[i];
      bool passing = false;
      while (parent != kNoTask && (tasks_[parent].kind != TreeTaskKind::Process || (passing && !reaps(parent)))) {
        passing = true;
        parent = parents_[parent];
      }
      const std::int32_t parent_pid = parent == kNoTask ? kKeeperPid : wanted_[tasks_[parent].process].pid;
      picture[process.pid] = {parent_pid, groups_[i], sessions_[i], process.zombie};
    }
    return picture;
  }

 private:
  bool reaps(std::size_t i) const {
    return tasks_[i].reaps_helpers || (tasks_[i].process != kNoTask && wanted_[tasks_[i].process].subreaper);
  }
  void make_children(std::size_t i, bool before) {
    for (std::size_t child = tasks_[i].first_child; child < tasks_[i].first_child + tasks_[i].child_count; ++child) {
      if (tasks_[child].before_setsid != before) continue;
      right_ = right_ && tasks_[child].maker == i;
      parents_[child] = tasks_[child].orphan ? kNoTask : i;
      right_ = right_ && (!tasks_[child].orphan || i == 0);
      groups_[child] = groups_[i];
      sessions_[child] = sessions_[i];
      make(child);
    }
  }
  void make(std::size_t i) {
    make_children(i, true);
    if (tasks_[i].leads_session) sessions_[i] = groups_[i] = tasks_[i].pid;
    if (tasks_[i].leads_group) groups_[i] = tasks_[i].pid;
    make_children(i, false);
  }

  const std::vector<TreeProcess>& wanted_;
  const std::vector<TreeTask>& tasks_;
  std::vector<std::int32_t> groups_, sessions_;
  std::vector<std::size_t> parents_;
  bool right_ = true;
};

std::map<std::int32_t, Picture> picture_of(const std::vector<TreeProcess>& processes) {
  std::map<std::int32_t, Picture> picture;
  for (const TreeProcess& process : processes)
    picture[process.pid] = {process.parent_pid, process.group_id, process.session_id, process.zombie};
  return picture;
}

// A zombie alone in a group that nobody leads may be in another.
void forgive_zombies(std::map<std::int32_t, Picture>& made, const std::map<std::int32_t, Picture>& wanted) {
  for (auto& [pid, picture] : made) {
    const auto found = wanted.find(pid);
    if (found == wanted.end() || !found->second.zombie) continue;
    const auto leader = wanted.find(found->second.group);
    if (leader != wanted.end() && leader->second.group == leader->first) continue;
    picture.group = found->second.group;
  }
}

// 1: rebuilt, 0: refused, -1: wrong
int rebuild(const std::vector<TreeProcess>& wanted) {
  auto tasks = order_tree(wanted);
  if (!tasks.ok()) return 0;
  const Rebuilt rebuilt(wanted, tasks.value());
  auto made = rebuilt.picture();
  forgive_zombies(made, picture_of(wanted));
  return rebuilt.right() && made == picture_of(wanted) ? 1 : -1;
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint32_t below(std::uint32_t bound) {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<std::uint32_t>(state_ >> 33) % bound;
  }

 private:
  std::uint64_t state_;
};

void do_something(World& world, Random& random) {
  const std::vector<std::int32_t> living = world.living();
  const std::int32_t pid = living[random.below(static_cast<std::uint32_t>(living.size()))];
  switch (random.below(12)) {
    case 0:
      if (pid != living.front()) world.setsid(pid);
      break;
    case 1:
    case 2:
      if (pid != living.front()) world.setpgid(pid, pid);
      break;
    case 3:
      if (pid != living.front()) {
        const std::int32_t other = living[random.below(static_cast<std::uint32_t>(living.size()))];
        world.setpgid(pid, world[other].group);
      }
      break;
    case 4:
    case 5:
      if (pid != living.front()) world.end(pid, random.below(2) == 0);
      break;
    case 6:
      world[pid].subreaper = random.below(2) == 0;
      break;
    default:
      if (living.size() < 24) world.fork(pid);
  }
}

}  // namespace

TEST(tree_of_one_process) {
  auto tasks = order_tree(std::vector<TreeProcess>{{.pid = 7, .parent_pid = 3, .group_id = 7, .session_id = 7}});
  if (!CHECK(tasks.ok())) return;
  CHECK_EQUAL(tasks.value().size(), 1u);
  CHECK(!tasks.value()[0].leads_session);
}

TEST(tree_of_a_shell_pipeline) {
  World world(100, 100);
  const std::int32_t a = world.fork(100), b = world.fork(100), c = world.fork(100);
  CHECK(world.setpgid(a, a) && world.setpgid(b, a) && world.setpgid(c, a));
  CHECK_EQUAL(rebuild(world.picture()), 1);
  world.end(a, true);  // the group stays without its leader
  CHECK_EQUAL(rebuild(world.picture()), 1);
}

TEST(tree_of_a_daemon) {
  World world(100, 100);
  const std::int32_t starter = world.fork(100), leader = world.fork(starter);
  CHECK(world.setsid(leader));
  const std::int32_t daemon = world.fork(leader);
  world.fork(daemon);
  world.end(leader, true);
  CHECK_EQUAL(rebuild(world.picture()), 1);
  world.end(starter, true);
  CHECK_EQUAL(world[daemon].parent, kKeeperPid);
  CHECK_EQUAL(rebuild(world.picture()), 1);
}

TEST(tree_with_children_from_before_setsid) {
  World world(100, 100);
  const std::int32_t a = world.fork(100), b = world.fork(a);
  CHECK(world.setsid(a));
  const std::int32_t c = world.fork(a);
  CHECK(world.setsid(c));
  CHECK_EQUAL(world[b].session, 100);
  CHECK_EQUAL(rebuild(world.picture()), 1);
}

TEST(tree_under_a_subreaper) {
  World world(100, 100);
  const std::int32_t reaper = world.fork(100);
  world[reaper].subreaper = true;
  const std::int32_t leader = world.fork(reaper);
  CHECK(world.setsid(leader));
  const std::int32_t middle = world.fork(leader), orphan = world.fork(middle);
  world.end(middle, true);
  CHECK_EQUAL(world[orphan].parent, reaper);
  CHECK_EQUAL(rebuild(world.picture()), 1);
  world.end(leader, false);  // a zombie leads the session now
  CHECK_EQUAL(rebuild(world.picture()), 1);
  world[reaper].subreaper = false;
  CHECK_EQUAL(rebuild(world.picture()), 1);
}

TEST(trees_at_random_are_rebuilt_or_refused) {
  std::uint32_t refused = 0, wrong = 0;
  constexpr std::uint32_t kTrees = 4000;
  for (std::uint32_t seed = 1; seed <= kTrees; ++seed) {
    Random random(seed);
    World world(random.below(2) == 0 ? 100 : 50, 100);
    for (std::uint32_t step = 10 + random.below(120); step > 0; --step) do_something(world, random);
    const int result = rebuild(world.picture());
    refused += result == 0;
    wrong += result < 0;
  }
  CHECK_EQUAL(wrong, 0u);
  // Of those, whose histories are wilder than any program's.
  CHECK(refused < kTrees / 10);
  if (refused * 10 >= kTrees) CHECK_EQUAL(refused, 0u);
}

TEST(no_tree_is_refused) {
  CHECK(!order_tree({}).ok());
  CHECK(!order_tree(std::vector<TreeProcess>{{.pid = 7}, {.pid = 7, .parent_pid = 7}}).ok());
  CHECK(
      !order_tree(std::vector<TreeProcess>{{.pid = 5}, {.pid = 6, .parent_pid = 7}, {.pid = 7, .parent_pid = 6}}).ok());
}

}  // namespace stasis::test
