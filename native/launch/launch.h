// Starting an application: by a detached keeper, or by becoming the keeper.
//
// Detached: the keeper is spawned so that it is nobody's child here (spawn.h), says on a pipe how the start went, and
// lives on.
//
// Foreground: this process executes the keeper in place of itself. What it has changed for its own use is put back
// first, so that the application finds what a shell would have given it: default signal actions, an empty mask,
// blocking standard streams, and no other descriptor. One thing cannot be put back: Node raises the soft limit of open
// files to the hard one and keeps no note of what it was.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "launch/ready_line.h"
#include "launch/spawn.h"
#include "os/unique_fd.h"

namespace stasis::launch {

inline constexpr std::chrono::milliseconds kDefaultTimeout{30'000};

// What both kinds of start, and a restore, tell the keeper.
struct KeeperOptions {
  std::string keeper;                                   // path of stasis-keeper, absolute
  std::string runtime;                                  // path of the runtime, absolute
  std::string directory;                                // the application's, absolute
  std::chrono::milliseconds timeout = kDefaultTimeout;  // until the application runs
  bool keeps_ids = false;                               // a restore under a runtime that does: with a translation table
  std::vector<std::string> working_set;                 // arguments of a restore (restore/working_set.h)
  std::uint32_t shift_ids = 0;  // not 0: the ids of every process that is born are the system's plus this
  bool fast_path = true;        // call sites that trap often are rewritten (runtime/sites.h)
};

struct LaunchOptions : KeeperOptions {
  std::vector<std::string> command;      // looked up with resolve_program
  std::vector<std::string> environment;  // NAME=value
  std::string cwd;                       // absolute
  std::string place;                     // NETWORK:HOST in an environment (keeper/options.h); empty: none
  std::vector<std::string> publish;      // PROTOCOL,ADDRESS,PORT,PORT
};

// Returns when the program runs. On an error no process is left, and no status or socket in the directory.
Result<Launched> launch(const LaunchOptions& options, const std::array<int, 3>& stdio);

// Returns only on failure; the process is then as it was.
Error become_keeper(const LaunchOptions& options);

// A keeper that starts while the plan of a restore is still being made (restore/start.h).
class PlannedKeeper {
 public:
  static Result<PlannedKeeper> begin(const KeeperOptions& options, const std::array<int, 3>& stdio);

  // Gives it the plan, and returns when the application goes on. On an error no process is left.
  Result<Launched> finish(int plan_fd);

  // Without a plan the keeper ends, having removed what it made; that is waited for.
  ~PlannedKeeper();
  PlannedKeeper(PlannedKeeper&&) = default;
  PlannedKeeper& operator=(PlannedKeeper&&) = delete;

 private:
  PlannedKeeper() = default;

  std::unique_ptr<Spawning> spawning_;
  UniqueFd ready_, socket_;
  std::chrono::milliseconds timeout_{};
};

// In the foreground, with a plan that is there. Returns only on failure.
Error become_keeper_of_plan(const KeeperOptions& options, int plan_fd);

}  // namespace stasis::launch
