// stasis-keeper: the supervisor of one application. It starts the application's first process, tells the starter how
// that went, keeps the status file, answers the control socket, reaps the application's orphans, and ends when the
// first process has ended.
//
// One thread, one poll loop, no heap in the loop; shortly after an image's first restore it also writes down which pages
// the program has written (working_set.h). Rules: the application never depends on the keeper's life (no
// parent-death signal, no pipe of its output runs through here); once the application runs, the keeper holds none of
// the caller's descriptors; a start that fails leaves no process, socket or status behind.
//
// In the foreground the keeper stands in the place of the `stasis` command: same pid, same process group as the
// application. It stops when the application stops, forwards what is sent to its pid, and ends as the application ended
// (signals.h, docs/adr/0003).
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <initializer_list>

#include "keeper/application.h"
#include "keeper/control.h"
#include "keeper/failure.h"
#include "keeper/holder.h"
#include "keeper/options.h"
#include "keeper/publish.h"
#include "keeper/signals.h"
#include "keeper/status.h"
#include "keeper/terminal.h"
#include "keeper/working_set.h"

namespace stasis::keeper {
namespace {

u64 now_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000 + static_cast<u64>(now.tv_nsec);
}

// From the moment at which the program runs: a server has answered its first requests by then.
constexpr u64 kWorkingSetMs = 100;
constexpr u64 kAnnounceMs = 30;

Application application;  // of the process; reached by the control socket's signal function

class Keeper {
 public:
  explicit Keeper(const Options& options) : options_(options), status_file_(-1) {}

  int run();

 private:
  bool prepare(Failure& failure);
  bool bring_up(Failure& failure);
  bool open_doors(Failure& failure);
  bool note_process(Failure& failure);
  bool wait_for(int fd, const char* late, Failure& failure);
  int fail(const Failure& failure);
  int supervise();
  void await(u64 milliseconds);
  void await_working_set();
  int end();

  void wait_for_events(int timeout_ms);
  void read_signals();
  void reap();
  void let_go();

  Options options_;
  u64 origin_ns_ = 0;
  int directory_ = -1;
  int signals_ = -1;
  int null_ = -1;
  StatusFile status_file_;
  ApplicationStatus status_;
  ControlSocket control_;
  Witness witness_;
  CallersTerminal terminal_;
  Publisher publisher_;
  bool ended_ = false;
  int wait_status_ = 0;
  char snapshot_[PATH_MAX] = "";
};

int Keeper::run() {
  origin_ns_ = now_ns(CLOCK_MONOTONIC);
  Failure failure;
  if (options_.mode == Mode::Foreground) terminal_.remember();
  if (!prepare(failure) || !bring_up(failure)) return fail(failure);
  return supervise();
}

bool Keeper::prepare(Failure& failure) {
  auto failed = [&](const char* doing) {
    failure = failure_of_errno(errno, doing);
    return false;
  };
  signals_ = open_signals();
  if (signals_ < 0) return failed("opening a signalfd");
  // Ignored, it would make the kernel reap children unseen; the other dispositions are the application's.
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  sigaction(SIGCHLD, &action, nullptr);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return failed("becoming the reaper of orphans");
  directory_ = open(options_.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory_ < 0) return failed("opening the application's directory");
  null_ = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_ < 0) return failed("opening /dev/null");
  return publisher_.open(options_, failure);
}

// What needs no process yet.
bool Keeper::open_doors(Failure& failure) {
  status_file_ = StatusFile(directory_);
  status_.keeper = getpid();
  status_.keeper_start = start_time_of(status_.keeper);
  if (!status_file_.write(status_)) {
    failure = failure_of_errno(errno, "writing the status file");
    return false;
  }
  if (!control_.open(directory_)) {
    failure = failure_of_errno(errno, "opening the control socket");
    return false;
  }
  return true;
}

// What can be done for the process while the runtime works, so that little is left when it has finished.
bool Keeper::note_process(Failure& failure) {
  status_.pid = application.pid();
  status_.start = start_time_of(status_.pid);
  if (options_.mode == Mode::Foreground) witness_.start();
  status_.state = State::Running;
  if (status_file_.prepare(status_)) return true;
  failure = failure_of_errno(errno, "writing the status file");
  return false;
}

bool Keeper::wait_for(int fd, const char* late, Failure& failure) {
  const u64 deadline_ns = origin_ns_ + static_cast<u64>(options_.deadline_ms) * 1'000'000;
  pollfd entry{fd, POLLIN, 0};
  while (entry.revents == 0) {
    u64 now = now_ns(CLOCK_MONOTONIC);
    if (now >= deadline_ns) {
      failure = failure_of_kind(ErrorKind::Timeout, late);
      return false;
    }
    poll(&entry, 1, static_cast<int>((deadline_ns - now) / 1'000'000) + 1);
  }
  return true;
}

bool Keeper::bring_up(Failure& failure) {
  // First what others wait for: the runtime. It waits for the plan itself if that is not made yet.
  if (!application.start(options_, failure) || !open_doors(failure)) return false;
  const char* late =
      options_.is_restore() ? "the application was not rebuilt in time" : "the program was not loaded in time";
  if (!note_process(failure) || !wait_for(application.done_fd(), late, failure)) return false;
  if (!application.finish_start(failure)) return false;
  status_file_.publish();
  let_go();
  publisher_.raise_limit();
  tell_success(options_.ready_fd, status_.pid, status_.start, options_.is_restore() ? &application.report() : nullptr);
  return true;
}

int Keeper::fail(const Failure& failure) {
  application.abandon(witness_.pid());
  witness_.stop();
  if (options_.is_restore()) terminal_.put_back();
  // Removed before the caller is told, so that it finds nothing.
  control_.withdraw();
  control_.finish(status_);
  if (directory_ >= 0) status_file_.remove();
  return tell_failure(options_.ready_fd, failure);
}

// A pipe that the application closes must end for its reader, also in the foreground: the keeper may not hold it open.
void Keeper::let_go() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null_, fd);
  // Nor does it stand in the way of an unmount. That chdir to the root fails is not to be expected, and would not
  // matter.
  if (chdir("/") != 0) return;
  if (null_ > STDERR_FILENO) close(null_);
}

int Keeper::supervise() {
  reap();  // what ended while only the done pipe was watched
  if (options_.is_restore() && options_.mode == Mode::Foreground) {
    await(kAnnounceMs);
    if (!ended_) terminal_.announce();
  }
  if (options_.working_set.file != nullptr) await_working_set();
  while (!ended_) wait_for_events(-1);
  return end();
}

void Keeper::await(u64 milliseconds) {
  const u64 due_ns = now_ns(CLOCK_MONOTONIC) + milliseconds * 1'000'000;
  for (u64 now; !ended_ && (now = now_ns(CLOCK_MONOTONIC)) < due_ns;)
    wait_for_events(static_cast<int>((due_ns - now) / 1'000'000) + 1);
}

void Keeper::await_working_set() {
  await(kWorkingSetMs);
  if (!ended_) record_working_set(application.pid(), options_.working_set);
}

void Keeper::wait_for_events(int timeout_ms) {
  pollfd entries[kMaxClients + 3];
  entries[0] = {signals_, POLLIN, 0};
  int count = control_.fill(entries + 1);
  pollfd& published = entries[count + 1];
  published = {publisher_.fd(), POLLIN, 0};
  if (poll(entries, static_cast<nfds_t>(count) + 2, timeout_ms) <= 0) return;
  // Before the clients: the one that has announced a checkpoint may be closing its connection right after the death.
  if (entries[0].revents != 0) read_signals();
  if (published.revents != 0) publisher_.handle();
  reap();
  if (!ended_) control_.handle(entries + 1, count, status_, [](int number) { return application.signal(number); });
}

void Keeper::read_signals() {
  signalfd_siginfo infos[8];
  ssize_t got = read(signals_, infos, sizeof infos);
  // Detached, the application is known by its own pid, and what is sent to a whole session or cgroup reaches both.
  if (options_.mode == Mode::Detached) return;
  for (ssize_t at = 0; at < got / static_cast<ssize_t>(sizeof infos[0]); ++at)
    forward_signal(infos[at], application, witness_);
}

void Keeper::reap() {
  int flags = WNOHANG | (options_.mode == Mode::Foreground ? WUNTRACED : 0);
  int status = 0;
  pid_t pid;
  while ((pid = waitpid(-1, &status, flags)) > 0) {
    if (pid != application.pid()) {
      if (!WIFSTOPPED(status)) witness_.reaped(pid);
      continue;
    }
    if (WIFSTOPPED(status)) {
      stop_with(WSTOPSIG(status));
      continue;
    }
    ended_ = true;
    wait_status_ = status;
  }
}

int Keeper::end() {
  status_.ended_ms = static_cast<i64>(now_ns(CLOCK_REALTIME) / 1'000'000);
  const char* announced = control_.announced_checkpoint();
  if (WIFEXITED(wait_status_)) {
    status_.state = State::Exited;
    status_.code = WEXITSTATUS(wait_status_);
  } else if (WTERMSIG(wait_status_) == SIGKILL && announced != nullptr) {
    status_.state = State::Checkpointed;
    snprintf(snapshot_, sizeof snapshot_, "%s", announced);
    status_.snapshot = snapshot_;
  } else {
    status_.state = State::Signaled;
    status_.signal = WTERMSIG(wait_status_);
  }
  // The status is the last word: whoever sees the end finds this directory as it stays, may remove it, and may have the
  // ports.
  publisher_.withdraw();
  control_.withdraw();
  status_file_.write(status_);
  control_.finish(status_);
  witness_.stop();
  if (options_.mode == Mode::Detached) return 0;
  // A program that ends of itself leaves the modes that it wants to leave, on the terminal that it was started on.
  if (options_.is_restore() || !WIFEXITED(wait_status_)) terminal_.put_back();
  if (WIFEXITED(wait_status_)) return WEXITSTATUS(wait_status_);
  die_by(WTERMSIG(wait_status_));
}

// Whatever else the caller had open belongs neither to the keeper nor to the application.
void close_all_but(std::initializer_list<int> kept) {
  unsigned begin = STDERR_FILENO + 1;
  int last = -1;
  for (;;) {
    int next = INT_MAX;
    for (int fd : kept) {
      if (fd > last && fd < next) next = fd;
    }
    if (next == INT_MAX) break;
    fcntl(next, F_SETFD, FD_CLOEXEC);
    if (static_cast<unsigned>(next) > begin) close_range(begin, static_cast<unsigned>(next) - 1, 0);
    begin = static_cast<unsigned>(next) + 1;
    last = next;
  }
  close_range(begin, ~0U, 0);
}

// A closed standard stream would give its number to a descriptor of the keeper's, which the application would then
// inherit.
void open_missing_streams() {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) close(fd);
}

int main(int count, char** arguments) {
  if (count == 3 && strcmp(arguments[1], "--hold") == 0) return hold_connections();
  Options options;
  if (const char* wrong = parse_options(count, arguments, options)) {
    return tell_failure(options.ready_fd, failure_of_kind(ErrorKind::Usage, wrong));
  }
  close_all_but({options.ready_fd, options.plan_fd, options.report_fd, options.done_fd, options.ids_fd});
  open_missing_streams();
  // Static: with the clients' buffers it is too large for the stack.
  static Keeper keeper(options);
  return keeper.run();
}

}  // namespace
}  // namespace stasis::keeper

int main(int count, char** arguments) { return stasis::keeper::main(count, arguments); }
