#include "tracer/session.h"

#include <linux/kcmp.h>
#include <linux/ptrace.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "os/procfs.h"

namespace stasis::tracer {

namespace {

// Most stops come within microseconds. On a busy machine a thread that yields comes last, one that sleeps is let in at
// once: so sleep, very shortly at first. The thread's timer slack (prctl(2)) of 50 us would make such sleeps ten times
// as long.
constexpr unsigned kYields = 3;
constexpr unsigned kShortSleeps = 200;
constexpr unsigned kMediumSleeps = 1000;
constexpr unsigned kSleepNanoseconds[] = {3'000, 30'000, 200'000};
constexpr unsigned kRoundsPerThread = 20;
constexpr auto kReleaseTime = std::chrono::seconds(2);
constexpr int kCallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD

Error explain_refusal(pid_t pid, Error error) {
  if (error.error != EPERM && error.error != EACCES) return error;
  const auto status = procfs::read_status(pid);
  if (status.ok() && status.value().number("TracerPid") != 0) {
    return Error::plain(ErrorKind::Busy,
                        "the process is traced by process " + std::to_string(status.value().number("TracerPid")),
                        "end that debugger or tracer first")
        .with_pid(pid);
  }
  return std::move(error)
      .with_pid(pid)
      .with_kind(ErrorKind::Permission)
      .with_remedy(
          "run as the application's user; a program that made itself undumpable (prctl PR_SET_DUMPABLE, set-user-id) "
          "and a "
          "kernel.yama.ptrace_scope of 2 or 3 need CAP_SYS_PTRACE");
}

bool has_ended(pid_t pid, pid_t tid) {
  const auto stat = procfs::read_text(pid, "task/" + std::to_string(tid) + "/stat");
  if (!stat.ok()) return true;
  const auto parsed = procfs::parse_stat(stat.value());
  return parsed.ok() && (parsed.value().state == 'Z' || parsed.value().state == 'X');
}

// Whether the call that /proc/PID/task/TID/syscall shows makes its caller wait for the child to execute something.
bool waits_for_child(const std::string& call) {
  unsigned long long number = 0, flags = 0;
  if (std::sscanf(call.c_str(), "%llu %llx", &number, &flags) != 2) return false;
  return number == SYS_vfork || (number == SYS_clone && (flags & CLONE_VFORK) != 0);
}

}  // namespace

Pause::Pause() : slack_(::prctl(PR_GET_TIMERSLACK)) { ::prctl(PR_SET_TIMERSLACK, 1); }

Pause::~Pause() { ::prctl(PR_SET_TIMERSLACK, slack_ > 0 ? slack_ : 0); }

void Pause::wait() {
  ++rounds_;
  if (rounds_ <= kYields) {
    ::sched_yield();
    return;
  }
  const unsigned length = rounds_ < kShortSleeps ? 0 : rounds_ < kMediumSleeps ? 1 : 2;
  const timespec time{0, kSleepNanoseconds[length]};
  ::nanosleep(&time, nullptr);
}

std::string describe_thread(pid_t pid, pid_t tid) {
  const std::string base = "task/" + std::to_string(tid) + "/";
  std::string text = "thread " + std::to_string(tid);
  auto stat = procfs::read_text(pid, base + "stat");
  if (stat.ok()) {
    const auto parsed = procfs::parse_stat(stat.value());
    if (parsed.ok()) text += std::string(" (state ") + parsed.value().state;
    const auto place = procfs::read_text(pid, base + "wchan");
    if (place.ok() && place.value().size() > 1) text += ", in " + place.value();
    text += ")";
  }
  return text;
}

Error timed_out(pid_t pid, pid_t tid, std::string doing) {
  return Error::plain(ErrorKind::Timeout,
                      std::move(doing) + ": " + describe_thread(pid, tid) + " did not get there in time",
                      "try again later")
      .with_pid(pid);
}

Result<Session> Session::seize(pid_t pid, AtStop at_stop) {
  Session session(pid, std::move(at_stop));
  if (!STASIS_TRY(session.adopt_new_threads())) {
    return Error::plain(ErrorKind::NotFound, "no such process").with_pid(pid);
  }
  return session;
}

Session::~Session() { release(); }

Result<bool> Session::adopt_new_threads() {
  bool any = false;
  for (const pid_t tid : STASIS_TRY(procfs::list_threads(pid_))) {
    const bool known = std::any_of(threads_.begin(), threads_.end(), [&](const auto& t) { return t->tid == tid; });
    if (known) continue;
    Status seized = ptrace::seize(tid);
    if (!seized.ok()) {
      if (seized.error().error == ESRCH) continue;  // it ended meanwhile
      if (seized.error().error == EPERM) {
        // A thread that has ended may not be attached to (kernel/ptrace.c, ptrace_attach).
        if (has_ended(pid_, tid)) continue;
      }
      return explain_refusal(pid_, std::move(seized).error());
    }
    threads_.push_back(std::make_unique<Tracee>(tid));
    any = true;
  }
  std::sort(threads_.begin(), threads_.end(), [&](const auto& a, const auto& b) {
    if ((a->tid == pid_) != (b->tid == pid_)) return a->tid == pid_;
    return a->tid < b->tid;
  });
  return any;
}

Status Session::stop_all(Deadline deadline, const CancelToken& cancel) {
  Pause pause, look;
  while (true) {
    Tracee* running = nullptr;
    for (auto& tracee : threads_) {
      if (tracee->at != Tracee::At::Running) continue;
      if (!tracee->interrupted) STASIS_TRY(interrupt(*tracee));
      // A thread that waits in the kernel or runs on another processor stops at once; for others we come round again.
      bool stopped = STASIS_TRY(poll(*tracee));
      look.reset();
      for (unsigned round = 0; round < kRoundsPerThread && !stopped; ++round) {
        look.wait();
        stopped = STASIS_TRY(poll(*tracee));
      }
      // No status comes of a main thread that has ended before the others have (kernel/exit.c, delay_group_leader).
      if (!stopped && tracee->tid == pid_ && threads_.size() > 1 && has_ended(pid_, pid_)) {
        tracee->at = Tracee::At::Gone;
      } else if (!stopped) {
        running = tracee.get();
      } else if (tracee->stopped()) {
        STASIS_TRY(at_stop_(*tracee));
      }
    }
    drop_gone();
    if (cancel.cancelled()) return Error::plain(ErrorKind::Cancelled, "the checkpoint was cancelled");
    if (running == nullptr) {
      // A thread that was still running may have made another: only a round without a newcomer ends this.
      if (!STASIS_TRY(adopt_new_threads())) return {};
      pause.reset();
      continue;
    }
    if (deadline.passed()) return timed_out(pid_, running->tid, "stopping the application");
    pause.wait();
  }
}

Status Session::drive(const std::vector<Tracee*>& tracees, const Drive& drive, Deadline deadline,
                      const CancelToken& cancel) {
  std::vector<Driven> driven;
  for (Tracee* tracee : tracees) driven.push_back({this, tracee, drive.on_stop});
  return drive_all(driven, drive.doing, deadline, cancel);
}

Status Session::drive_all(const std::vector<Driven>& driven, const char* doing, Deadline deadline,
                          const CancelToken& cancel) {
  struct Runner {
    const Driven* driven;
    Deadline::Clock::time_point since;
  };
  std::vector<Runner> runners;
  for (const Driven& each : driven) runners.push_back({&each, Deadline::Clock::now()});
  Pause pause;
  while (true) {
    bool moved = false;
    for (std::size_t i = 0; i < runners.size();) {
      Runner& runner = runners[i];
      Session& session = *runner.driven->session;
      Tracee& tracee = *runner.driven->tracee;
      if (tracee.at == Tracee::At::Running && !STASIS_TRY(session.poll(tracee))) {
        const auto slice = tracee.slice;
        const bool late = slice.count() != 0 && Deadline::Clock::now() - runner.since > slice;
        if (late && !tracee.interrupted) STASIS_TRY(session.interrupt(tracee));
        ++i;
        continue;
      }
      moved = true;
      if (STASIS_TRY(runner.driven->on_stop(tracee))) {
        runner = runners.back();
        runners.pop_back();
      } else {
        runner.since = Deadline::Clock::now();
        ++i;
      }
    }
    if (runners.empty()) return {};
    if (cancel.cancelled()) return Error::plain(ErrorKind::Cancelled, "the checkpoint was cancelled");
    if (deadline.passed()) {
      const Driven& late = *runners.front().driven;
      return timed_out(late.session->pid(), late.tracee->tid, doing);
    }
    if (moved) {
      pause.reset();
    } else {
      pause.wait();
    }
  }
}

Status Session::note_stop(Tracee& tracee, int signal, int event) {
  tracee.signal = 0;
  tracee.event = event;
  switch (event) {
    case PTRACE_EVENT_STOP:
      tracee.stopped_by = signal == SIGTRAP ? 0 : signal;
      tracee.interrupted = false;
      tracee.at = Tracee::At::Event;
      return {};
    case PTRACE_EVENT_EXEC:
      executed_ = true;
      tracee.at = Tracee::At::Event;
      return {};
    case 0:
      break;
    default:
      tracee.at = Tracee::At::Event;
      return {};
  }
  if (signal == kCallStop) {
    tracee.at = STASIS_TRY(ptrace::at_call_entry(tracee.tid)) ? Tracee::At::Entry : Tracee::At::Exit;
    return {};
  }
  tracee.at = Tracee::At::Signal;
  tracee.signal = signal;
  return {};
}

Result<bool> Session::poll(Tracee& tracee) {
  // WNOWAIT: taking the status would clear the signal that the thread is about to be given (kernel/exit.c,
  // wait_task_stopped), and if this process died before it sent the thread on, the signal would be lost. Left alone, it
  // is delivered then.
  siginfo_t info{};
  const int options = WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL | __WNOTHREAD;
  if (::waitid(P_PID, static_cast<id_t>(tracee.tid), &info, options) != 0) {
    if (errno == EINTR) return false;
    // ECHILD: a thread that ended because another one executed a program leaves no status behind.
    if (errno != ECHILD) return Error::of_errno("waitid", "waiting for the thread").with_tid(tracee.tid);
    tracee.at = Tracee::At::Gone;
    return true;
  }
  if (info.si_pid == 0) return false;
  if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) {
    int status = 0;
    (void)::waitpid(tracee.tid, &status, __WALL | WNOHANG | __WNOTHREAD);
    tracee.at = Tracee::At::Gone;
    return true;
  }
  STASIS_TRY(note_stop(tracee, info.si_status & 0xff, info.si_status >> 8));
  return true;
}

void Session::drop_gone() {
  std::erase_if(threads_, [](const auto& tracee) { return tracee->at == Tracee::At::Gone; });
}

Status Session::resume(Tracee& tracee, ptrace::Resume how) {
  Status status = ptrace::resume(tracee.tid, how, tracee.at == Tracee::At::Signal ? tracee.signal : 0);
  // ESRCH: killed at its stop; waitpid will tell.
  if (!status.ok() && status.error().error != ESRCH) return status;
  tracee.at = Tracee::At::Running;
  tracee.signal = 0;
  tracee.put_back = false;
  return {};
}

Status Session::interrupt(Tracee& tracee) {
  Status status = ptrace::interrupt(tracee.tid);
  if (!status.ok() && status.error().error != ESRCH) return status;
  tracee.interrupted = true;
  return {};
}

Session::Vfork Session::vfork_in_flight() const {
  for (const auto& tracee : threads_) {
    if (tracee->at != Tracee::At::Running) continue;
    const std::string task = "task/" + std::to_string(tracee->tid);
    const auto call = procfs::read_text(pid_, task + "/syscall");
    if (!call.ok() || !waits_for_child(call.value())) continue;
    const auto children = procfs::list_children(pid_);
    if (!children.ok()) continue;
    for (const pid_t child : children.value()) {
      if (::syscall(SYS_kcmp, pid_, child, KCMP_VM, 0, 0) == 0) return {tracee->tid, child};
    }
  }
  return {};
}

void Session::release() {
  const Deadline deadline = Deadline::in(kReleaseTime);
  auto let_go = [](Tracee& tracee) {
    // Errors mean that the thread is gone; there is nobody left to tell.
    (void)ptrace::detach(tracee.tid, tracee.at == Tracee::At::Signal ? tracee.signal : 0);
    tracee.at = Tracee::At::Gone;
  };
  for (auto& tracee : threads_) {
    if (tracee->stopped()) {
      let_go(*tracee);
    } else if (tracee->at == Tracee::At::Running) {
      (void)ptrace::interrupt(tracee->tid);
    }
  }
  drop_gone();
  Pause pause;
  while (!threads_.empty() && !deadline.passed()) {
    for (auto& tracee : threads_) {
      const auto polled = poll(*tracee);
      if (!polled.ok()) {
        tracee->at = Tracee::At::Gone;
      } else if (tracee->stopped()) {
        (void)at_stop_(*tracee);
        let_go(*tracee);
      }
    }
    drop_gone();
    if (!threads_.empty()) pause.wait();
  }
  // What is still running now is detached by the kernel when the calling thread ends.
  threads_.clear();
}

}  // namespace stasis::tracer
