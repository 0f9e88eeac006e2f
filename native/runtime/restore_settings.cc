// What a restored process is allowed, and how its threads are scheduled.
//
// The kernel keeps credentials by thread, so each thread sets its own, as the last thing before the gate; a change of the
// effective user takes away the process's being dumpable and a thread's parent-death signal (credentials(7), prctl(2)), which therefore
// come after all of them. Limits come when nothing is made any more.
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>

#include "runtime/restore.h"
#include "runtime/syscall.h"
#include "runtime/text.h"

namespace stasis::runtime {

namespace {

using wire::SchedulingEntry;
using wire::SettingsEntry;
using wire::Step;

constexpr u64 kIoprioProcess = 1;     // IOPRIO_WHO_PROCESS
constexpr u32 kCapabilityCount = 41;  // CAP_CHECKPOINT_RESTORE is 40; more are an error to the kernel and passed over

enum Set { kInheritable, kPermitted, kEffective, kBounding, kAmbient };

const SettingsEntry* settings() {
  return plan().settings != 0 ? reinterpret_cast<const SettingsEntry*>(wire::kPlanBase + plan().settings) : nullptr;
}

struct Attributes {  // struct sched_attr
  u32 size, policy;
  u64 flags;
  i32 nice;
  u32 priority;
  u64 runtime, deadline, period;
};
static_assert(sizeof(Attributes) == 48);

void schedule(const SchedulingEntry& entry) {
  const Attributes attributes = {sizeof(Attributes), entry.policy,  entry.flags,    entry.nice,
                                 entry.priority,     entry.runtime, entry.deadline, entry.period};
  // Where a better priority than one's own is not to be had, the policy alone may be.
  if (is_error(raw_syscall(__NR_sched_setattr, 0, &attributes, 0))) {
    Attributes modest = attributes;
    modest.nice = static_cast<i32>(20 - raw_syscall(__NR_getpriority, 0, 0));
    raw_syscall(__NR_sched_setattr, 0, &modest, 0);
  } else {
    raw_syscall(__NR_setpriority, 0, 0, entry.nice);  // which policies without a niceness do not set
  }
  if (entry.affinity != 0) {
    raw_syscall(__NR_sched_setaffinity, 0, entry.affinity_bytes, wire::kPlanBase + entry.affinity);
  }
  if (entry.timer_slack_ns != 0) raw_syscall(__NR_prctl, PR_SET_TIMERSLACK, entry.timer_slack_ns, 0, 0, 0);
  raw_syscall(__NR_ioprio_set, kIoprioProcess, 0, entry.io_priority);
}

struct CapabilityHeader {
  u32 version;
  i32 pid;
};
struct CapabilityWords {
  u32 effective, permitted, inheritable;
};

constexpr CapabilityHeader kHeader{_LINUX_CAPABILITY_VERSION_3, 0};

u64 own_permitted() {
  CapabilityWords words[2] = {};
  raw_syscall(__NR_capget, &kHeader, words);
  return words[0].permitted | static_cast<u64>(words[1].permitted) << 32;
}

void set_capabilities(u64 inheritable, u64 permitted, u64 effective) {
  const CapabilityWords words[2] = {
      {static_cast<u32>(effective), static_cast<u32>(permitted), static_cast<u32>(inheritable)},
      {static_cast<u32>(effective >> 32), static_cast<u32>(permitted >> 32), static_cast<u32>(inheritable >> 32)}};
  raw_syscall(__NR_capset, &kHeader, words);
}

void set_users(const SettingsEntry& entry) {
  if (entry.set_groups != 0) {
    must(raw_syscall(__NR_setgroups, entry.group_count, wire::kPlanBase + entry.groups), Step::SetCredentials);
  }
  const u32 *uids = entry.uids, *gids = entry.gids;
  must(raw_syscall(__NR_setresgid, gids[0], gids[1], gids[2]), Step::SetCredentials, gids[1]);
  must(raw_syscall(__NR_setresuid, uids[0], uids[1], uids[2]), Step::SetCredentials, uids[1]);
}

void set_credentials(const SettingsEntry& entry) {
  if (entry.no_new_privs != 0) raw_syscall(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  for (u32 capability = 0; capability < kCapabilityCount; capability++) {
    if ((entry.capabilities[kBounding] >> capability & 1) == 0) {
      raw_syscall(__NR_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
  }
  const u64 permitted = own_permitted();  // which stays through a change of users
  raw_syscall(__NR_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
  set_users(entry);
  const u64* sets = entry.capabilities;
  set_capabilities(sets[kInheritable], permitted, permitted);
  raw_syscall(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (u32 capability = 0; capability < kCapabilityCount; capability++) {
    if ((sets[kAmbient] >> capability & 1) != 0) {
      raw_syscall(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
    }
  }
  if (is_error(raw_syscall(__NR_prctl, PR_SET_SECUREBITS, entry.securebits, 0, 0, 0))) {
    raw_syscall(__NR_prctl, PR_SET_KEEPCAPS, (entry.securebits & SECBIT_KEEP_CAPS) != 0, 0, 0, 0);
  }
  // These follow the effective ids unless they were set for themselves, for which this takes a capability.
  raw_syscall(__NR_setfsgid, entry.gids[3]);
  raw_syscall(__NR_setfsuid, entry.uids[3]);
  set_capabilities(sets[kInheritable], sets[kPermitted] & permitted, sets[kEffective] & permitted);
}

void write_file(const char* path, const char* text) {
  constexpr u32 kWriteOnly = 1, kCloseOnExec = 02000000;
  const i64 fd = raw_syscall(__NR_open, path, kWriteOnly | kCloseOnExec, 0);
  if (fd < 0) return;
  raw_syscall(__NR_write, fd, text, string_length(text));
  raw_syscall(__NR_close, fd);
}

struct Limit {
  u64 soft, hard;
};

u64 lesser(u64 a, u64 b) { return a < b ? a : b; }

void set_limit(u64 resource, Limit wanted) {
  if (!is_error(raw_syscall(__NR_prlimit64, 0, resource, &wanted, nullptr))) return;
  Limit now;
  if (is_error(raw_syscall(__NR_prlimit64, 0, resource, nullptr, &now))) return;
  wanted.hard = lesser(wanted.hard, now.hard);
  wanted.soft = lesser(wanted.soft, wanted.hard);
  raw_syscall(__NR_prlimit64, 0, resource, &wanted, nullptr);
}

}  // namespace

bool sets_credentials() { return settings() != nullptr && settings()->set_credentials != 0; }

void set_thread_settings(u64 thread) {
  const auto* entries = plan_entries<SchedulingEntry>(plan().scheduling);
  for (u64 i = 0; i < plan().scheduling.count; i++) {
    if (entries[i].thread == thread) schedule(entries[i]);
  }
  if (sets_credentials()) set_credentials(*settings());
}

void set_process_settings() {
  const SettingsEntry* entry = settings();
  if (entry == nullptr) return;
  char text[32];
  // Another user's files in /proc are its own only while it is dumpable.
  if (entry->dumpable != 0) raw_syscall(__NR_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (entry->set_limits != 0) {
    write_signed(text, entry->oom_score_adj);
    write_file("/proc/self/oom_score_adj", text);
    write_decimal(text, entry->coredump_filter);
    write_file("/proc/self/coredump_filter", text);
    raw_syscall(__NR_personality, entry->personality);
    for (u64 resource = 0; resource < wire::kResources; resource++) {
      set_limit(resource, {entry->limits[resource][0], entry->limits[resource][1]});
    }
    keep_limit_of_files();
  }
  if (entry->subreaper != 0) raw_syscall(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  raw_syscall(__NR_prctl, PR_SET_PDEATHSIG, entry->parent_death_signal, 0, 0, 0);
  raw_syscall(__NR_prctl, PR_SET_DUMPABLE, entry->dumpable, 0, 0, 0);
}

}  // namespace stasis::runtime
