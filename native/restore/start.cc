#include "restore/start.h"

#include <unistd.h>

#include <cstdlib>

#include "image/files.h"
#include "restore/prepare.h"

namespace stasis::restore {

namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t microseconds_since(Clock::time_point origin) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - origin).count());
}

struct Laid {
  UniqueFd plan;
  launch::KeeperOptions keeper;
  std::uint64_t opened_us = 0;
};

// Absolute, since the runtime opens it from a working directory of its own.
std::string absolute(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  std::string result = real != nullptr ? real : path;
  free(real);
  return result;
}

Result<Laid> lay_down(const StartOptions& options, Clock::time_point origin) {
  image::OpenOptions open_options;
  open_options.stamp_directory = options.stamp_directory;
  image::OpenedImage opened = STASIS_TRY(image::open_image(absolute(options.image), open_options));
  Laid laid;
  laid.opened_us = microseconds_since(origin);
  RestoreInputs inputs;
  for (const image::OpenedPageFile& file : opened.page_files) {
    inputs.page_files.push_back({file.path, file.status.device, file.status.inode});
  }
  inputs.runtime_path =
      STASIS_TRY(install_runtime(opened.runtime.get(), opened.image.runtime.build_id, options.runtime_directory));
  PreparedRestore prepared = STASIS_TRY(prepare(opened.image, inputs));
  laid.plan = STASIS_TRY(seal_plan(prepared.plan));
  laid.keeper.keeper = options.keeper;
  laid.keeper.runtime = prepared.runtime_path;
  laid.keeper.directory = options.directory;
  laid.keeper.timeout = options.timeout;
  return laid;
}

}  // namespace

Result<Started> start(const StartOptions& options, const std::array<int, 3>& stdio) {
  const Clock::time_point origin = Clock::now();
  Laid laid = STASIS_TRY(lay_down(options, origin));
  Started started;
  started.opened_us = laid.opened_us;
  started.prepared_us = microseconds_since(origin);
  started.launched = STASIS_TRY(launch::launch_plan(laid.keeper, laid.plan.get(), stdio));
  started.finished_us = microseconds_since(origin);
  // steady_clock is CLOCK_MONOTONIC.
  const auto origin_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(origin.time_since_epoch()).count());
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
  return launch::become_keeper_of_plan(laid.value().keeper, laid.value().plan.get());
}

}  // namespace stasis::restore
