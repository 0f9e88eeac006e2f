// The application as a checkpoint sees it: its processes, and what they have in common.
//
// A member is a descendant of the first process, or an orphan: a child, or a child's child, of the keeper, who adopts the
// orphans of its application (it is the first process's parent and a child subreaper). Processes that have ended and were
// not waited for are no members; what is left of them is read from /proc.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/memory.h"
#include "checkpoint/objects.h"
#include "checkpoint/subject.h"
#include "os/process_memory.h"
#include "os/procfs.h"
#include "tracer/quiesce.h"
#include "tracer/session.h"
#include "tracer/threads.h"

namespace stasis::checkpoint {

class HeldPages;

// One process that lives.
struct Member {
  explicit Member(Subject what) : subject(std::move(what)) {}

  Subject subject;
  std::uint64_t start_time = 0;  // field 22 of /proc/PID/stat: with the pid, who it is
  std::optional<ProcessMemory> memory;
  std::optional<procfs::Fields> status;        // /proc/PID/status
  std::vector<procfs::MapLine> earlier_maps;   // with flags, from the look; empty: it was born since
  std::optional<tracer::Session> session;      // while it is held ...
  std::vector<tracer::SettledThread> settled;  // ... and brought out of the runtime
  std::optional<tracer::ProcessState> state;   // read then
  std::vector<PlannedMapping> mappings;
  std::shared_ptr<HeldPages> held;  // pages of the instant, if not the process's own (holders.h)

  pid_t pid() const { return subject.pid; }
  std::uint64_t caught() const { return status->number("SigCgt", 16); }  // signals with a handler
};

// A process as /proc shows it among its relatives.
struct Relative {
  pid_t pid = 0, parent = 0;
  bool ended = false;   // a zombie
  bool orphan = false;  // a child of the keeper's, other than the first process
};

class Tree {
 public:
  Tree(const Options& options, const CancelToken& cancel) : options(options), cancel(cancel) {}

  const Options& options;
  const CancelToken& cancel;
  // The first process first, parents before their children.
  std::vector<std::unique_ptr<Member>> members;
  std::vector<pid_t> zombies;  // set by the cut

  Member& first() { return *members.front(); }
  Member* find(pid_t pid);

  // The relatives as they are now, the first process first, parents before their children. Those of a tree that runs may
  // be gone again.
  Result<std::vector<Relative>> relatives() const;
  // The keeper, or 0 if the first process's parent is none.
  pid_t keeper() const;
  // Children of the keeper that belong to the application, but for the first process; if it is dead, what can be found of
  // them.
  std::vector<pid_t> orphans() const;
  // Whether a member's parent is none.
  bool is_orphan(pid_t pid) const;

  // A member for a process that is alive. NotFound if it is not.
  Result<std::unique_ptr<Member>> open(pid_t pid) const;

  // For the functions that work on all of them. Valid until `members` changes.
  Members subjects();
  void set_phase(Phase phase);
  void let_go();

 private:
  std::vector<pid_t> orphans_of_nobody() const;

  std::vector<const Subject*> subjects_;
};

// Whether two processes are on the same memory, as in a vfork(2).
bool share_memory(pid_t first, pid_t second);

}  // namespace stasis::checkpoint
