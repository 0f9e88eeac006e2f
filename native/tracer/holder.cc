#include "tracer/holder.h"

#include <linux/ptrace.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>

#include "base/scope_exit.h"

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
  Birth(Session& session, Parasite& parasite, ParasiteThread& thread)
      : session_(session), parasite_(parasite), thread_(thread) {}
  ~Birth();

  Status drive(Deadline deadline, const CancelToken& cancel);
  pid_t take_copy() { return std::exchange(copy_.tid, 0); }

 private:
  Result<bool> move_thread();
  Result<bool> move_step();
  Result<bool> move_copy();
  static bool is_birth(const Tracee& tracee) {
    return tracee.at == Tracee::At::Event && (tracee.event == PTRACE_EVENT_VFORK || tracee.event == PTRACE_EVENT_FORK ||
                                              tracee.event == PTRACE_EVENT_CLONE);
  }

  Session& session_;
  Parasite& parasite_;
  ParasiteThread& thread_;
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
  listed_ = STASIS_TRY(parasite_.at_sigreturn(tracee));
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

Status Birth::drive(Deadline deadline, const CancelToken& cancel) {
  Pause pause;
  while (true) {
    bool moved = STASIS_TRY(move_thread());
    moved = STASIS_TRY(move_step()) || moved;
    moved = STASIS_TRY(move_copy()) || moved;
    if (listed_ && (copy_.tid == 0 || held_)) return {};
    if (cancel.cancelled()) return Error::plain(ErrorKind::Cancelled, "the checkpoint was cancelled");
    if (deadline.passed()) return timed_out(session_.pid(), thread_.tracee->tid, "copying the process");
    if (moved) {
      pause.reset();
    } else {
      pause.wait();
    }
  }
}

}  // namespace

std::size_t most_rows(const ParasiteThread& thread) { return thread.slot.data_bytes / sizeof(wire::ParasiteRow); }

Result<Holder> Holder::make(Session& session, const ProcessMemory& memory, const wire::Descriptor& runtime,
                            ParasiteThread& thread, const std::vector<wire::ParasiteRow>& rows, Deadline deadline,
                            const CancelToken& cancel) {
  STASIS_CHECK(rows.size() <= most_rows(thread));
  const pid_t tid = thread.tracee->tid;
  thread.clear();
  const std::size_t at = Parasite::reserve(thread, rows.size() * sizeof rows[0]);
  if (!rows.empty()) std::memcpy(thread.data.data() + at, rows.data(), rows.size() * sizeof rows[0]);
  const std::size_t fork =
      Parasite::add(thread, {wire::kParasiteFork, {Parasite::data_address(thread, at), rows.size()}});

  Parasite parasite(session, memory, runtime);
  STASIS_TRY(ptrace::set_births(tid, ptrace::Births::Seized));
  Birth birth(session, parasite, thread);
  STASIS_TRY(parasite.start(thread));
  STASIS_TRY(birth.drive(deadline, cancel));
  STASIS_TRY(ptrace::set_births(tid, ptrace::Births::Free));
  STASIS_TRY(parasite.fetch(thread));
  Holder holder(birth.take_copy());
  STASIS_TRY(parasite.go_home({&thread}, deadline, cancel));
  if (holder.pid() != 0) return holder;
  const auto failed = [&](std::int64_t result) {
    return Error::of_errno(static_cast<int>(-result), "clone", "copying the process").with_pid(session.pid());
  };
  if (thread.result(fork) < 0) return failed(thread.result(fork));
  return failed(static_cast<std::int64_t>(thread.commands[fork].arguments[5]));
}

Holder::~Holder() {
  if (pid_ != 0) end_process(pid_);
}

}  // namespace stasis::tracer
