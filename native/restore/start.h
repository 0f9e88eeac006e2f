// A restore from the image's directory to the application that goes on: image read and verified, plan laid down
// (prepare.h), runtime put in its place, keeper started with the plan, its word awaited.
//
// The keeper's start takes as long as the plan, so the two go side by side: the keeper is started once the header has
// named the runtime, and gets the plan when it is complete and the caller agrees.
//
// Rules: the image's directory is only read. What is verified is what is used: the files stay open, and the runtime
// compares device and inode of what it maps. Before the plan is complete there is only a runtime that waits for it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "launch/launch.h"
#include "os/unique_fd.h"
#include "restore/prepare.h"

namespace stasis::restore {

struct StartOptions {
  std::string keeper;             // path of stasis-keeper, absolute
  std::string runtime_directory;  // every runtime here, by build id; the image's is put there if it is missing
  std::string directory;          // the application's, absolute
  std::string image;              // the image's directory
  std::string stamp_directory;    // of page files known to be good; may be empty
  std::chrono::milliseconds timeout = launch::kDefaultTimeout;
  std::uint32_t shift_ids = 0;  // launch/launch.h
  bool fast_path = true;        // likewise
  ChangedFiles changed_files = ChangedFiles::Fail;
  bool tcp_close = false;  // as in RestoreInputs
};

struct Started {
  launch::Launched launched;  // its times are made to count from the beginning, too
  // Microseconds from the beginning.
  std::uint64_t opened_us = 0;        // image read and verified
  std::uint64_t prepared_us = 0;      // plan complete
  std::uint64_t finished_us = 0;      // all of it
  std::vector<std::string> warnings;  // what the application has not as it was, a sentence each
};

// A restore in two parts.
class Starting {
 public:
  using Clock = std::chrono::steady_clock;

  // Only what takes some hundred microseconds: the caller may be a thread that must not wait.
  static Result<Starting> begin(const StartOptions& options, const std::array<int, 3>& stdio);

  // The rest, on any thread, once. `permission` is asked when all is ready, before the plan is handed over: the last
  // moment at which the application is not there. It may wait; its error ends the restore.
  // Errors of open_image and prepare, and what the runtime reports (report.h). No process is left after an error, once
  // this object is gone.
  Result<Started> finish(const std::function<Status()>& permission);

 private:
  Starting() = default;

  Clock::time_point origin_ = Clock::now();
  StartOptions options_;
  std::array<int, 3> stdio_{-1, -1, -1};
  std::string runtime_;  // the keeper's
  std::optional<launch::PlannedKeeper> keeper_;
};

// In the foreground: returns only on failure, with the process as it was.
Error become_keeper(const StartOptions& options);

// Where the runtime of that build id lies, if it does; else an empty string.
std::string installed_runtime(const std::string& build_id, const std::string& directory);

// The version of the plan that the runtime takes, by its descriptor.
std::uint32_t plan_version_of(const std::string& runtime_path);

// Puts the runtime in `file` at DIRECTORY/BUILD-ID unless it is there, and gives the path. Damaged if the file has
// another build id.
Result<std::string> install_runtime(int file, const std::string& build_id, const std::string& directory);

}  // namespace stasis::restore
