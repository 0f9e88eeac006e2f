// Credentials, limits and scheduling: what of them this restorer may give. Who the program is (users and groups) is given or the
// restore refused; of all else as much as is allowed, with a warning for what is not.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "os/procfs.h"
#include "restore/builders.h"

namespace stasis::restore {

namespace {

constexpr std::uint64_t capability(int number) { return std::uint64_t{1} << number; }
constexpr std::uint64_t kSetGid = capability(6), kSetUid = capability(7), kSysNice = capability(23),
                        kSysResource = capability(24);
constexpr const char* kResourceNames[wire::kResources] = {
    "CPU time",       "file size",     "data segment",       "stack",
    "core file",      "resident set",  "processes",          "open files",
    "locked memory",  "address space", "file locks",         "pending signals",
    "message queues", "nice priority", "real-time priority", "real-time timeout"};
constexpr std::uint32_t kSchedFifo = 1, kSchedRr = 2, kSchedDeadline = 6;

std::vector<std::uint32_t> numbers_in(std::string_view text) {
  std::vector<std::uint32_t> numbers;
  for (std::size_t at = 0; at < text.size();) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), number);
    if (error == std::errc()) numbers.push_back(number);
    at = error == std::errc() ? static_cast<std::size_t>(end - text.data()) : at + 1;
  }
  return numbers;
}

// The restorer itself, which the new process starts out as.
struct Restorer {
  std::vector<std::uint32_t> uids, gids, groups;
  std::array<std::uint64_t, 5> capabilities{};
  std::uint32_t securebits = 0;
  bool no_new_privs = false;

  bool may(std::uint64_t set) const { return (capabilities[2] & set) == set; }
};

Result<Restorer> this_restorer() {
  const procfs::Fields status = STASIS_TRY(procfs::read_status(::getpid()));
  Restorer restorer;
  restorer.uids = numbers_in(status.find("Uid"));
  restorer.gids = numbers_in(status.find("Gid"));
  restorer.groups = numbers_in(status.find("Groups"));
  constexpr const char* kSets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
  for (std::size_t i = 0; i < std::size(kSets); ++i) restorer.capabilities[i] = status.number(kSets[i], 16);
  const int securebits = ::prctl(PR_GET_SECUREBITS);
  restorer.securebits = securebits > 0 ? static_cast<std::uint32_t>(securebits) : 0;
  restorer.no_new_privs = status.number("NoNewPrivs") != 0;
  return restorer;
}

template <std::size_t kCount>
bool equal(const std::array<std::uint32_t, kCount>& a, const std::vector<std::uint32_t>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

std::string list_of(const std::array<std::uint32_t, 4>& ids) {
  return ids[0] == ids[1] ? std::to_string(ids[0])
                          : std::to_string(ids[0]) + " (effective " + std::to_string(ids[1]) + ")";
}

Status plan_credentials(const image::Credentials& wanted, wire::SettingsEntry& entry, PlanBuilder& plan) {
  const Restorer own = STASIS_TRY(this_restorer());
  const bool same_uids = equal(wanted.uids, own.uids), same_gids = equal(wanted.gids, own.gids);
  if ((!same_uids && !own.may(kSetUid)) || (!same_gids && !own.may(kSetGid))) {
    const char* what = same_uids ? "group " : "user ";
    const std::string theirs = list_of(same_uids ? wanted.gids : wanted.uids);
    return Error::plain(ErrorKind::Permission,
                        "the application ran as " + (what + theirs) + ", and this is " + what +
                            std::to_string(same_uids ? own.gids[1] : own.uids[1]),
                        "restore it as that user, or as one with CAP_SETUID and CAP_SETGID");
  }
  const bool same_groups = wanted.groups == own.groups;
  if (!same_groups && !own.may(kSetGid)) {
    plan.warnings.push_back("the supplementary groups are the restorer's: changing them needs CAP_SETGID");
  }
  const std::uint64_t lost = wanted.capabilities[1] & ~own.capabilities[1];
  if (lost != 0) {
    plan.warnings.push_back("the application had " + std::to_string(__builtin_popcountll(lost)) +
                            " capabilities that the restorer does not have; it goes on without them");
  }
  if (same_uids && same_gids && same_groups && wanted.capabilities == own.capabilities &&
      wanted.securebits == own.securebits) {
    return {};
  }
  entry.set_credentials = 1;
  std::copy(wanted.uids.begin(), wanted.uids.end(), entry.uids);
  std::copy(wanted.gids.begin(), wanted.gids.end(), entry.gids);
  std::copy(wanted.capabilities.begin(), wanted.capabilities.end(), entry.capabilities);
  entry.securebits = wanted.securebits;
  entry.set_groups = own.may(kSetGid);
  entry.group_count = wanted.groups.size();
  entry.groups = plan.add_bytes(
      {reinterpret_cast<const std::uint8_t*>(wanted.groups.data()), wanted.groups.size() * sizeof wanted.groups[0]}, 8);
  return {};
}

Status plan_limits(const image::Limits& wanted, wire::SettingsEntry& entry, PlanBuilder& plan) {
  const bool may_raise = STASIS_TRY(this_restorer()).may(kSysResource);
  entry.set_limits = 1;
  for (std::size_t i = 0; i < wire::kResources; ++i) {
    entry.limits[i][0] = wanted.limits[2 * i];
    entry.limits[i][1] = wanted.limits[2 * i + 1];
    struct rlimit own;
    if (may_raise || ::getrlimit(static_cast<__rlimit_resource>(i), &own) != 0) continue;
    if (entry.limits[i][0] > own.rlim_max) {
      plan.warnings.push_back(std::string("the limit of ") + kResourceNames[i] + " is " + std::to_string(own.rlim_max) +
                              ", the restorer's hard limit");
    }
  }
  entry.oom_score_adj = wanted.oom_score_adj;
  entry.personality = static_cast<std::uint32_t>(wanted.personality);
  entry.coredump_filter = wanted.coredump_filter;
  return {};
}

// Bit sets of processors, as long as they were given.
std::vector<std::uint8_t> usable_processors(const std::vector<std::uint8_t>& wanted) {
  std::vector<std::uint8_t> usable = wanted;
  std::array<std::uint8_t, 1024> own{};
  const long bytes = ::syscall(SYS_sched_getaffinity, 0, own.size(), own.data());
  for (std::size_t i = 0; i < usable.size(); ++i) usable[i] &= bytes > static_cast<long>(i) ? own[i] : 0;
  return usable;
}

void plan_thread(const image::Scheduling& wanted, std::uint32_t index, bool may_raise, PlanBuilder& plan) {
  wire::SchedulingEntry entry{};
  entry.thread = index;
  entry.policy = wanted.policy;
  entry.flags = wanted.flags;
  entry.nice = wanted.nice;
  entry.priority = wanted.priority;
  entry.runtime = wanted.deadline[0];
  entry.deadline = wanted.deadline[1];
  entry.period = wanted.deadline[2];
  entry.timer_slack_ns = wanted.timer_slack_ns;
  entry.io_priority = wanted.io_priority;
  const bool realtime = wanted.policy == kSchedFifo || wanted.policy == kSchedRr || wanted.policy == kSchedDeadline;
  if (!may_raise && (realtime || wanted.nice < ::getpriority(PRIO_PROCESS, 0))) {
    plan.warnings.push_back("thread " + std::to_string(wanted.tid) +
                            " had a better priority than the restorer may give (CAP_SYS_NICE)");
  }
  if (!wanted.affinity.empty()) {
    const auto usable = usable_processors(wanted.affinity);
    const bool none = std::all_of(usable.begin(), usable.end(), [](std::uint8_t bits) { return bits == 0; });
    if (usable != wanted.affinity) {
      plan.warnings.push_back("thread " + std::to_string(wanted.tid) +
                              " was bound to processors that this host has not" +
                              (none ? "; it may use all" : "; it may use the others"));
    }
    if (!none) {
      entry.affinity = plan.add_bytes(usable, 8);
      entry.affinity_bytes = usable.size();
    }
  }
  plan.scheduling.push_back(entry);
}

// What a process that nobody has changed is like.
bool is_plain(const image::Scheduling& record) {
  return record.policy == 0 && record.flags == 0 && record.affinity.empty() && record.io_priority == 0 &&
         record.timer_slack_ns == static_cast<std::uint64_t>(::prctl(PR_GET_TIMERSLACK)) &&
         record.nice == ::getpriority(PRIO_PROCESS, 0);
}

}  // namespace

Status plan_settings(const image::ProcessImage& section, PlanBuilder& plan) {
  wire::SettingsEntry entry{};
  entry.dumpable = section.process.dumpable;
  entry.parent_death_signal = section.process.parent_death_signal;
  entry.subreaper = section.process.subreaper;
  if (section.credentials.empty() && section.limits.empty()) return {};  // an image from before they were recorded
  for (const image::Credentials& credentials : section.credentials) {
    STASIS_TRY(plan_credentials(credentials, entry, plan));
    entry.no_new_privs = credentials.no_new_privs;
  }
  for (const image::Limits& limits : section.limits) STASIS_TRY(plan_limits(limits, entry, plan));
  plan.plan.settings = plan.add_bytes({reinterpret_cast<const std::uint8_t*>(&entry), sizeof entry}, 8);
  const bool may_raise = STASIS_TRY(this_restorer()).may(kSysNice);
  for (const image::Scheduling& record : section.scheduling) {
    const auto thread = std::find_if(section.threads.begin(), section.threads.end(),
                                     [&](const image::Thread& candidate) { return candidate.tid == record.tid; });
    if (thread == section.threads.end() || is_plain(record)) continue;
    plan_thread(record, static_cast<std::uint32_t>(thread - section.threads.begin()), may_raise, plan);
  }
  return {};
}

}  // namespace stasis::restore
