#include "tracer/holder.h"

#include <linux/ptrace.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

namespace stasis::tracer {

namespace {

constexpr auto kEndTime = std::chrono::seconds(2);

// A process of which nobody needs to know any more.
void end_process(pid_t pid) {
  ::kill(pid, SIGKILL);
  // Being its tracer, we take its status first; its parent gets it then.
  const Deadline deadline = Deadline::in(kEndTime);
  Pause pause;
  int status = 0;
  while (true) {
    const pid_t waited = ::waitpid(pid, &status, __WALL | WNOHANG | __WNOTHREAD);
    if (waited == pid && (WIFEXITED(status) || WIFSIGNALED(status))) return;
    if (waited < 0 && errno != EINTR) return;
    if (deadline.passed()) return;
    pause.wait();
  }
}

class Birth {
 public:
  explicit Birth(const ToHold& process)
      : process_(process),
        session_(*process.session),
        parasite_(*process.session, *process.memory, *process.runtime),
        thread_(*process.thread) {}
  Birth(const Birth&) = delete;
  ~Birth();

  Status start();
  // Takes note of what has happened. True if something had.
  Result<bool> move();
  bool done() const { return listed_ && (copy_.tid == 0 || held_); }
  // When all is done: the copy, or 0 and why there is none.
  Result<pid_t> take_copy();
  Parasite::Job job() { return {&parasite_, &thread_}; }

 private:
  Result<bool> move_thread();
  Result<bool> move_step();
  Result<bool> move_copy();
  static bool is_birth(const Tracee& tracee) {
    return tracee.at == Tracee::At::Event && (tracee.event == PTRACE_EVENT_VFORK || tracee.event == PTRACE_EVENT_FORK ||
                                              tracee.event == PTRACE_EVENT_CLONE);
  }

  const ToHold& process_;
  Session& session_;
  Parasite parasite_;
  ParasiteThread& thread_;
  std::size_t fork_ = 0;      // place in the list
  Tracee step_{0}, copy_{0};  // tid 0: not born, or gone
  bool listed_ = false;       // the thread has run its list
  bool held_ = false;         // the copy stands where it is to stay
};

// After a failure the step-child runs to its end by itself, and the copy has not been given to anybody.
Birth::~Birth() {
  if (copy_.tid != 0) end_process(copy_.tid);
  if (step_.tid != 0 && step_.stopped()) (void)ptrace::detach(step_.tid, 0);
}

Result<bool> Birth::move_thread() {
  Tracee& tracee = *thread_.tracee;
  if (listed_) return false;
  if (tracee.at == Tracee::At::Running && !STASIS_TRY(session_.poll(tracee))) return false;
  if (is_birth(tracee) && step_.tid == 0) step_ = Tracee(STASIS_TRY(ptrace::born(tracee.tid)));
  listed_ = STASIS_TRY(parasite_.at_sigreturn(thread_));
  return true;
}

Result<bool> Birth::move_step() {
  if (step_.tid == 0 || !STASIS_TRY(session_.poll(step_))) return false;
  if (step_.at == Tracee::At::Gone) {
    step_.tid = 0;
    return true;
  }
  if (is_birth(step_)) copy_ = Tracee(STASIS_TRY(ptrace::born(step_.tid)));
  // No stop but these: a list of madvise(2) calls would take two each.
  STASIS_TRY(session_.resume(step_, ptrace::Resume::Free));
  return true;
}

Result<bool> Birth::move_copy() {
  if (copy_.tid == 0 || held_ || !STASIS_TRY(session_.poll(copy_))) return false;
  if (copy_.at == Tracee::At::Gone) {
    copy_.tid = 0;
    return Error::plain(ErrorKind::Failed, "the copy of the process was killed");
  }
  STASIS_TRY(ptrace::kill_with_tracer(copy_.tid));
  return held_ = true;
}

Result<bool> Birth::move() {
  bool moved = STASIS_TRY(move_thread());
  moved = STASIS_TRY(move_step()) || moved;
  return STASIS_TRY(move_copy()) || moved;
}

Status Birth::start() {
  const auto& rows = process_.rows;
  thread_.clear();
  const std::size_t at = Parasite::reserve(thread_, rows.size() * sizeof rows[0]);
  if (!rows.empty()) std::memcpy(thread_.data.data() + at, rows.data(), rows.size() * sizeof rows[0]);
  if (process_.question != nullptr) process_.question->ask(thread_, true);
  fork_ = Parasite::add(thread_, {wire::kParasiteFork, {Parasite::data_address(thread_, at), rows.size()}});
  STASIS_TRY(ptrace::set_births(thread_.tracee->tid, ptrace::Births::Seized));
  return parasite_.start(thread_);
}

Result<pid_t> Birth::take_copy() {
  STASIS_TRY(ptrace::set_births(thread_.tracee->tid, ptrace::Births::Free));
  STASIS_TRY(parasite_.fetch(thread_));
  if (process_.question != nullptr) STASIS_TRY(process_.question->take(thread_, true));
  const pid_t copy = std::exchange(copy_.tid, 0);
  if (copy != 0) return copy;
  const std::int64_t forked = thread_.result(fork_);
  const std::int64_t result = forked < 0 ? forked : static_cast<std::int64_t>(thread_.commands[fork_].arguments[5]);
  return Error::of_errno(static_cast<int>(-result), "clone", "copying the process").with_pid(session_.pid());
}

Status drive(const std::vector<std::unique_ptr<Birth>>& births, const ToHold& first, Deadline deadline,
             const CancelToken& cancel) {
  Pause pause;
  while (true) {
    bool moved = false, done = true;
    for (const auto& birth : births) {
      if (birth->done()) continue;
      moved = STASIS_TRY(birth->move()) || moved;
      done = done && birth->done();
    }
    if (done) return {};
    if (cancel.cancelled()) return Error::plain(ErrorKind::Cancelled, "the checkpoint was cancelled");
    if (deadline.passed()) return timed_out(first.session->pid(), first.thread->tracee->tid, "copying the process");
    if (moved) {
      pause.reset();
    } else {
      pause.wait();
    }
  }
}

}  // namespace

std::size_t most_rows(const ParasiteThread& thread, std::size_t data_bytes) {
  const std::size_t left = thread.slot.data_bytes - std::min<std::size_t>(thread.slot.data_bytes, data_bytes + 64);
  return left / sizeof(wire::ParasiteRow);
}

Result<std::vector<Holder>> hold(const std::vector<ToHold>& processes, Deadline deadline, const CancelToken& cancel) {
  std::vector<std::unique_ptr<Birth>> births;
  std::vector<Parasite::Job> jobs;
  for (const ToHold& process : processes) {
    births.push_back(std::make_unique<Birth>(process));
    jobs.push_back(births.back()->job());
    STASIS_TRY(births.back()->start());
  }
  STASIS_TRY(drive(births, processes.front(), deadline, cancel));
  std::vector<Holder> holders;
  std::optional<Error> failed;
  for (const auto& birth : births) {
    auto copy = birth->take_copy();
    if (copy.ok()) {
      holders.push_back(Holder(copy.value()));
    } else if (!failed.has_value()) {
      failed = std::move(copy).error();
    }
  }
  STASIS_TRY(Parasite::go_home_all(jobs, deadline, cancel));
  if (failed.has_value()) return *std::move(failed);
  return holders;
}

Holder::~Holder() {
  if (pid_ != 0) end_process(pid_);
}

}  // namespace stasis::tracer
