#include "restore/start.h"

#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "image/files.h"
#include "restore/file_contents.h"
#include "restore/outside.h"
#include "restore/prepare.h"
#include "restore/working_set.h"

namespace stasis::restore {

namespace {

using Clock = Starting::Clock;

std::uint64_t microseconds_since(Clock::time_point origin) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - origin).count());
}

struct Laid {
  UniqueFd plan;
  std::string runtime;  // to be executed
  std::uint64_t records_checksum = 0;
  std::uint64_t opened_us = 0;
  std::vector<std::string> warnings;
  FileContents contents;  // taken back unless they are kept
};

// Absolute, since the runtime opens it from a working directory of its own.
std::string absolute(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  std::string result = real != nullptr ? real : path;
  free(real);
  return result;
}

launch::KeeperOptions keeper_options(const StartOptions& options, const std::string& runtime,
                                     std::uint64_t records_checksum) {
  launch::KeeperOptions keeper;
  keeper.keeper = options.keeper;
  keeper.runtime = runtime;
  keeper.directory = options.directory;
  keeper.timeout = options.timeout;
  keeper.shift_ids = options.shift_ids;
  keeper.fast_path = options.fast_path;
  keeper.keeps_ids = plan_version_of(runtime) != wire::kPlanVersionWithoutIds;
  keeper.working_set = working_set_arguments(options.stamp_directory, options.image, records_checksum);
  return keeper;
}

Result<Laid> lay_down(const StartOptions& options, Clock::time_point origin) {
  image::OpenOptions open_options;
  open_options.stamp_directory = options.stamp_directory;
  image::OpenedImage opened = STASIS_TRY(image::open_image(absolute(options.image), open_options));
  Laid laid;
  laid.opened_us = microseconds_since(origin);
  laid.records_checksum = opened.image.header.records_checksum;
  RestoreInputs inputs;
  for (const image::OpenedPageFile& file : opened.page_files) {
    inputs.page_files.push_back({file.path, file.status.device, file.status.inode});
  }
  if (!options.stamp_directory.empty() && opened.page_files.size() == 1) {
    inputs.working_set = read_working_set(options.stamp_directory, opened.page_files[0].status, laid.records_checksum);
  }
  inputs.runtime_path =
      STASIS_TRY(install_runtime(opened.runtime.get(), opened.image.runtime.build_id, options.runtime_directory));
  inputs.plan_version = plan_version_of(inputs.runtime_path);
  inputs.changed_files = options.changed_files;
  inputs.tcp_close = options.tcp_close;
  inputs.holder = STASIS_TRY(hold_outside_connections(opened.image, options));
  laid.contents = STASIS_TRY(FileContents::decide(opened.image, inputs));
  inputs.settled_files = laid.contents.settled();
  if (laid.contents.changes_anything()) {
    // Whatever else is in the way is to be found before a file is touched.
    RestoreInputs trial = inputs;
    trial.missing_files = laid.contents.missing();
    STASIS_TRY(prepare(opened.image, trial));
    STASIS_TRY(laid.contents.put_in_place(opened.image, inputs));
  }
  PreparedRestore prepared = STASIS_TRY(prepare(opened.image, inputs));
  laid.plan = STASIS_TRY(seal_plan(prepared.plan));
  laid.runtime = prepared.runtime_path;
  laid.warnings = std::move(prepared.warnings);
  return laid;
}

// A keeper that starts already, if the header can be read and its runtime is there: an image that is damaged or new
// here shows up in lay_down().
Result<std::optional<launch::PlannedKeeper>> begin_early(const StartOptions& options, const std::array<int, 3>& stdio,
                                                         std::string& runtime) {
  auto header = image::read_header(options.image);
  if (header.ok()) runtime = installed_runtime(header.value().runtime_build_id, options.runtime_directory);
  if (runtime.empty()) return std::optional<launch::PlannedKeeper>();
  const auto keeper = keeper_options(options, runtime, header.value().records_checksum);
  return std::optional(STASIS_TRY(launch::PlannedKeeper::begin(keeper, stdio)));
}

}  // namespace

Result<Starting> Starting::begin(const StartOptions& options, const std::array<int, 3>& stdio) {
  Starting starting;
  starting.options_ = options;
  starting.stdio_ = stdio;
  auto keeper = STASIS_TRY(begin_early(options, stdio, starting.runtime_));
  if (keeper) starting.keeper_.emplace(std::move(*keeper));
  return starting;
}

Result<Started> Starting::finish(const std::function<Status()>& permission) {
  Laid laid = STASIS_TRY(lay_down(options_, origin_));
  if (keeper_ && laid.runtime != runtime_) {
    return Error::plain(ErrorKind::Damaged, "the image's header names another runtime than its records")
        .with_path(options_.image);
  }
  if (!keeper_) {
    const auto keeper = keeper_options(options_, laid.runtime, laid.records_checksum);
    keeper_.emplace(STASIS_TRY(launch::PlannedKeeper::begin(keeper, stdio_)));
  }
  Started started;
  started.opened_us = laid.opened_us;
  started.warnings = std::move(laid.warnings);
  started.prepared_us = microseconds_since(origin_);
  STASIS_TRY(permission());
  started.launched = STASIS_TRY(keeper_->finish(laid.plan.get()));
  laid.contents.keep();
  started.finished_us = microseconds_since(origin_);
  // steady_clock is CLOCK_MONOTONIC.
  const auto origin_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(origin_.time_since_epoch()).count());
  launch::Launched& launched = started.launched;
  for (std::uint64_t* time :
       {&launched.started_us, &launched.mapped_us, &launched.fds_us, &launched.threads_us, &launched.resumed_us}) {
    *time = *time > origin_us ? *time - origin_us : 0;
  }
  return started;
}

Error become_keeper(const StartOptions& options) {
  auto laid = lay_down(options, Clock::now());
  if (!laid.ok()) return std::move(laid).error();
  const auto keeper = keeper_options(options, laid.value().runtime, laid.value().records_checksum);
  // Nobody comes back to take them away once this process is the keeper.
  laid.value().contents.keep();
  return launch::become_keeper_of_plan(keeper, laid.value().plan.get());
}

}  // namespace stasis::restore
