#include "launch/launch.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "launch/foreground.h"
#include "launch/resolve.h"
#include "launch/spawn.h"
#include "os/unique_fd.h"

namespace stasis::launch {

namespace {

// The numbers at which a spawned keeper finds its descriptors (Spawn::passed).
constexpr int kReadyFd = 3;
constexpr int kPlanFd = 4;

// The keeper watches the deadline itself and cleans up; the wait for its word only has to be longer.
constexpr std::chrono::milliseconds kKeeperGrace{5'000};

std::vector<std::string> keeper_arguments(const KeeperOptions& options, const char* mode) {
  return {options.keeper, "--directory",   options.directory,
          "--runtime",    options.runtime, "--mode",
          mode,           "--deadline-ms", std::to_string(options.timeout.count())};
}

void append_program(std::vector<std::string>& arguments, const ResolvedProgram& program) {
  arguments.insert(arguments.end(), {"--", program.path});
  arguments.insert(arguments.end(), program.arguments.begin(), program.arguments.end());
}

Result<Launched> spawn_keeper(Spawn& keeper, const KeeperOptions& options, int plan_fd) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) return Error::of_errno("pipe2", "starting the keeper");
  UniqueFd reader(ready[0]), writer(ready[1]);
  keeper.path = options.keeper;
  keeper.passed = {writer.get()};
  if (plan_fd >= 0) keeper.passed.push_back(plan_fd);
  STASIS_TRY(spawn(keeper));
  writer.reset();
  return await_ready(reader.get(), Deadline::in(options.timeout + kKeeperGrace));
}

}  // namespace

Result<Launched> launch(const LaunchOptions& options, const std::array<int, 3>& stdio) {
  ResolvedProgram program = STASIS_TRY(resolve_program(options.command, options.environment, options.cwd));
  Spawn keeper;
  keeper.arguments = keeper_arguments(options, "detached");
  keeper.arguments.insert(keeper.arguments.end(), {"--ready-fd", std::to_string(kReadyFd)});
  append_program(keeper.arguments, program);
  keeper.environment = options.environment;
  keeper.cwd = options.cwd;
  keeper.stdio = stdio;
  return spawn_keeper(keeper, options, -1);
}

Result<Launched> launch_plan(const KeeperOptions& options, int plan_fd, const std::array<int, 3>& stdio) {
  Spawn keeper;
  keeper.arguments = keeper_arguments(options, "detached");
  keeper.arguments.insert(keeper.arguments.end(),
                          {"--ready-fd", std::to_string(kReadyFd), "--plan-fd", std::to_string(kPlanFd)});
  keeper.cwd = std::string("/");
  keeper.stdio = stdio;
  return spawn_keeper(keeper, options, plan_fd);
}

Error become_keeper(const LaunchOptions& options) {
  auto program = resolve_program(options.command, options.environment, options.cwd);
  if (!program.ok()) return std::move(program).error();
  std::vector<std::string> arguments = keeper_arguments(options, "foreground");
  append_program(arguments, program.value());
  return execute_in_foreground({options.keeper, arguments, options.environment, options.cwd, -1});
}

Error become_keeper_of_plan(const KeeperOptions& options, int plan_fd) {
  std::vector<std::string> arguments = keeper_arguments(options, "foreground");
  arguments.insert(arguments.end(), {"--plan-fd", std::to_string(plan_fd)});
  return execute_in_foreground({options.keeper, arguments, {}, "/", plan_fd});
}

}  // namespace stasis::launch
