#include "launch/launch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "launch/foreground.h"
#include "launch/id_table.h"
#include "launch/marker.h"
#include "launch/resolve.h"
#include "launch/spawn.h"
#include "os/pidfd.h"
#include "os/procfs.h"
#include "os/unique_fd.h"
#include "wire/layout.h"
#include "wire/parts.h"

namespace stasis::launch {

namespace {

// The numbers at which a spawned keeper, and the runtime spawned beside it, find their descriptors (Spawn::passed).
constexpr int kReadyFd = 3, kKeeperReportFd = 4, kKeeperDoneFd = 5, kKeeperIdsFd = 6;
constexpr int kPlanSocket = 3, kReportFd = 4, kDoneFd = 5, kIdsFd = 6;

// The keeper watches the deadline itself and cleans up; the wait for its word only has to be longer.
constexpr std::chrono::milliseconds kKeeperGrace{5'000};
constexpr int kEndMs = 1'000;  // for a keeper that has said all

std::vector<std::string> keeper_arguments(const KeeperOptions& options, const char* mode) {
  std::vector<std::string> arguments = {options.keeper, "--directory",   options.directory,
                                        "--runtime",    options.runtime, "--mode",
                                        mode,           "--deadline-ms", std::to_string(options.timeout.count())};
  arguments.insert(arguments.end(), options.working_set.begin(), options.working_set.end());
  if (!options.fast_path) arguments.insert(arguments.end(), {"--fast-path", "0"});
  return arguments;
}

void append_program(std::vector<std::string>& arguments, const LaunchOptions& options, const ResolvedProgram& program) {
  if (options.shift_ids != 0) arguments.insert(arguments.end(), {"--shift-ids", std::to_string(options.shift_ids)});
  if (!options.place.empty()) arguments.insert(arguments.end(), {"--environment", options.place});
  for (const std::string& port : options.publish) arguments.insert(arguments.end(), {"--publish", port});
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

Result<UniqueFd> make_report() {
  UniqueFd report(memfd_create("stasis-report", MFD_CLOEXEC));
  if (!report) return Error::of_errno("memfd_create", "making the report page");
  if (ftruncate(report.get(), wire::kPageBytes) != 0) return Error::of_errno("ftruncate", "making the report page");
  return report;
}

// Of a restored application's filter, beside the base.
unsigned parts_of(const KeeperOptions& options) { return wire::kPartIds | wire::sites_part(options.fast_path); }

// Of a restored application; nothing under a runtime that does not know ids.
Result<UniqueFd> make_ids(const KeeperOptions& options) {
  if (!options.keeps_ids) return UniqueFd();
  const std::string_view directory = options.directory;
  return make_id_table({.application = directory.substr(directory.rfind('/') + 1),
                        .parts = parts_of(options),
                        .shift = options.shift_ids});
}

// A keeper whose start failed says so and ends, its child with it. Until it has, a process is left.
Result<Launched> await_start(const Spawning& keeper, int ready, Deadline deadline) {
  auto launched = await_ready(ready, deadline);
  if (launched.ok()) return launched;
  if (auto process = open_process(keeper.pid()); process.ok()) {
    pollfd entry{process.value().get(), POLLIN, 0};
    while (poll(&entry, 1, kEndMs) < 0 && errno == EINTR) {
    }
  }
  return launched;
}

}  // namespace

Result<Launched> launch(const LaunchOptions& options, const std::array<int, 3>& stdio) {
  ResolvedProgram program = STASIS_TRY(resolve_program(options.command, options.environment, options.cwd));
  Pipe ready = STASIS_TRY(make_pipe());
  Spawn keeper;
  keeper.path = options.keeper;
  keeper.arguments = keeper_arguments(options, "detached");
  keeper.arguments.insert(keeper.arguments.end(), {"--ready-fd", std::to_string(kReadyFd)});
  append_program(keeper.arguments, options, program);
  keeper.environment = options.environment;
  keeper.cwd = options.cwd;
  keeper.stdio = stdio;
  keeper.passed = {ready.writer.get()};
  auto spawning = STASIS_TRY(Spawning::begin(std::move(keeper)));
  const Deadline deadline = Deadline::in(options.timeout + kKeeperGrace);
  STASIS_TRY(spawning->finish(deadline));
  ready.writer.reset();
  return await_start(*spawning, ready.reader.get(), deadline);
}

namespace {

bool has_ended(pid_t pid) {
  const auto stat = procfs::read_stat(pid);
  return !stat.ok() || stat.value().state == 'Z' || stat.value().state == 'X';
}

// Ends a process and all below it. Stopped first, parents before their children, so that none is born meanwhile.
void end_tree(pid_t first) {
  if (first <= 0) return;
  std::vector<pid_t> tree{first};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    kill(tree[i], SIGSTOP);
    const auto children = procfs::list_children(tree[i]);
    if (children.ok()) tree.insert(tree.end(), children.value().begin(), children.value().end());
  }
  for (const pid_t pid : tree) kill(pid, SIGKILL);
}

}  // namespace

Result<PlannedKeeper> PlannedKeeper::begin(const KeeperOptions& options, const std::array<int, 3>& stdio) {
  Pipe ready = STASIS_TRY(make_pipe());
  Pipe done = STASIS_TRY(make_pipe());
  UniqueFd report = STASIS_TRY(make_report());
  UniqueFd ids = STASIS_TRY(make_ids(options));
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return Error::of_errno("socketpair", "starting the keeper");
  }
  UniqueFd ours(pair[0]), its(pair[1]);
  auto runtime = std::make_unique<Spawn>();
  runtime->path = options.runtime;
  runtime->arguments = {format_marker({.runtime = options.runtime,
                                       .report_fd = kReportFd,
                                       .done_fd = kDoneFd,
                                       .ids_fd = ids ? kIdsFd : -1,
                                       .parts = ids ? parts_of(options) : 0,
                                       .plan_socket = kPlanSocket})};
  if (runtime->arguments[0].empty()) return Error::plain(ErrorKind::Usage, "the runtime's path is too long");
  runtime->cwd = "/";
  runtime->stdio = stdio;
  runtime->passed = {its.get(), report.get(), done.writer.get()};
  if (ids) runtime->passed.push_back(ids.get());
  Spawn keeper;
  keeper.path = options.keeper;
  keeper.arguments = keeper_arguments(options, "detached");
  keeper.arguments.insert(keeper.arguments.end(),
                          {"--ready-fd", std::to_string(kReadyFd), "--report-fd", std::to_string(kKeeperReportFd),
                           "--done-fd", std::to_string(kKeeperDoneFd), "--pid", Spawn::kPidOfChild});
  keeper.cwd = "/";
  keeper.stdio = stdio;
  keeper.passed = {ready.writer.get(), report.get(), done.reader.get()};
  if (ids) {
    keeper.arguments.insert(keeper.arguments.end(), {"--ids-fd", std::to_string(kKeeperIdsFd)});
    keeper.passed.push_back(ids.get());
  }
  keeper.child = std::move(runtime);
  PlannedKeeper planned;
  planned.spawning_ = STASIS_TRY(Spawning::begin(std::move(keeper)));
  planned.ready_ = std::move(ready.reader);
  planned.socket_ = std::move(ours);
  planned.timeout_ = options.timeout;
  return planned;
}

Result<Launched> PlannedKeeper::finish(int plan_fd) {
  // The application may only come to life under its keeper.
  const Deadline deadline = Deadline::in(timeout_ + kKeeperGrace);
  STASIS_TRY(spawning_->finish(deadline));
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
  // A runtime that is gone is the keeper's to explain.
  if (sendmsg(socket_.get(), &message, MSG_NOSIGNAL) != 1 && errno != EPIPE && errno != ECONNRESET) {
    return Error::of_errno("sendmsg", "giving the plan to the runtime");
  }
  socket_.reset();
  auto started = await_start(*spawning_, ready_.get(), deadline);
  // A keeper that was killed just before it could say that the program runs has left it behind.
  if (!started.ok() && has_ended(spawning_->pid())) end_tree(spawning_->child_pid());
  return started;
}

PlannedKeeper::~PlannedKeeper() {
  if (!socket_) return;
  socket_.reset();
  const Deadline deadline = Deadline::in(kKeeperGrace);
  (void)spawning_->finish(deadline).ok();
  (void)await_start(*spawning_, ready_.get(), deadline).ok();
}

Error become_keeper(const LaunchOptions& options) {
  auto program = resolve_program(options.command, options.environment, options.cwd);
  if (!program.ok()) return std::move(program).error();
  std::vector<std::string> arguments = keeper_arguments(options, "foreground");
  append_program(arguments, options, program.value());
  return execute_in_foreground({options.keeper, arguments, options.environment, options.cwd, {}});
}

Error become_keeper_of_plan(const KeeperOptions& options, int plan_fd) {
  auto ids = make_ids(options);
  if (!ids.ok()) return std::move(ids).error();
  std::vector<std::string> arguments = keeper_arguments(options, "foreground");
  std::vector<int> passed = {plan_fd};
  arguments.insert(arguments.end(), {"--plan-fd", std::to_string(plan_fd)});
  if (ids.value()) {
    arguments.insert(arguments.end(), {"--ids-fd", std::to_string(ids.value().get())});
    passed.push_back(ids.value().get());
  }
  return execute_in_foreground({options.keeper, arguments, {}, "/", passed});
}

}  // namespace stasis::launch
