#include "launch/launch.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "launch/foreground.h"
#include "launch/resolve.h"
#include "launch/spawn.h"
#include "os/unique_fd.h"

namespace stasis::launch {

namespace {

// The numbers at which a spawned keeper finds its descriptors (Spawn::passed).
constexpr int kReadyFd = 3;
constexpr int kPlanSocket = 4;

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

struct Pipe {
  UniqueFd reader, writer;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error::of_errno("pipe2", "starting the keeper");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace

Result<Launched> launch(const LaunchOptions& options, const std::array<int, 3>& stdio) {
  ResolvedProgram program = STASIS_TRY(resolve_program(options.command, options.environment, options.cwd));
  Pipe ready = STASIS_TRY(make_pipe());
  Spawn keeper;
  keeper.path = options.keeper;
  keeper.arguments = keeper_arguments(options, "detached");
  keeper.arguments.insert(keeper.arguments.end(), {"--ready-fd", std::to_string(kReadyFd)});
  append_program(keeper.arguments, program);
  keeper.environment = options.environment;
  keeper.cwd = options.cwd;
  keeper.stdio = stdio;
  keeper.passed = {ready.writer.get()};
  auto spawning = STASIS_TRY(Spawning::begin(std::move(keeper)));
  STASIS_TRY(spawning->finish());
  ready.writer.reset();
  return await_ready(ready.reader.get(), Deadline::in(options.timeout + kKeeperGrace));
}

Result<PlannedKeeper> PlannedKeeper::begin(const KeeperOptions& options, const std::array<int, 3>& stdio) {
  Pipe ready = STASIS_TRY(make_pipe());
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return Error::of_errno("socketpair", "starting the keeper");
  }
  UniqueFd ours(pair[0]), its(pair[1]);
  Spawn keeper;
  keeper.path = options.keeper;
  keeper.arguments = keeper_arguments(options, "detached");
  keeper.arguments.insert(keeper.arguments.end(),
                          {"--ready-fd", std::to_string(kReadyFd), "--plan-socket", std::to_string(kPlanSocket)});
  keeper.cwd = std::string("/");
  keeper.stdio = stdio;
  keeper.passed = {ready.writer.get(), its.get()};
  PlannedKeeper planned;
  planned.spawning_ = STASIS_TRY(Spawning::begin(std::move(keeper)));
  planned.ready_ = std::move(ready.reader);
  planned.socket_ = std::move(ours);
  planned.timeout_ = options.timeout;
  return planned;
}

Result<Launched> PlannedKeeper::finish(int plan_fd) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &plan_fd, sizeof plan_fd);
  if (sendmsg(socket_.get(), &message, MSG_NOSIGNAL) != 1) {
    const int error = errno;
    // The other end is gone if the keeper never ran: what kept it from that is the better answer.
    STASIS_TRY(spawning_->finish());
    return Error::of_errno(error, "sendmsg", "giving the plan to the keeper");
  }
  socket_.reset();
  STASIS_TRY(spawning_->finish());
  return await_ready(ready_.get(), Deadline::in(timeout_ + kKeeperGrace));
}

PlannedKeeper::~PlannedKeeper() {
  if (!socket_) return;
  socket_.reset();
  (void)await_ready(ready_.get(), Deadline::in(kKeeperGrace)).ok();
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
