// A hold on every thread of one process.
//
//   seized threads:  Running --interrupt()/resume()--> Event | Signal | Entry | Exit --resume()--> Running
//                                                        |
//                                                        +--> Gone (the thread ended; its record is dropped)
//
// Rules:
//  - every call on the thread that made the session;
//  - a thread is held without effect on it: detaching, or the death of this process, at any stop lets it go on as if
//  nothing had
//    been, but for calls that the kernel ends with EINTR after any stop (tracer/rewind.h puts those right);
//  - no single-stepping: the death of a tracer between a step and its report kills the tracee with SIGTRAP;
//  - every wait has a deadline. waitid(2) has none of its own, so waiting polls each thread with WNOHANG, sleeping
//    longer and longer.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/deadline.h"
#include "base/result.h"
#include "os/ptrace.h"

namespace stasis::tracer {

struct Tracee {
  enum class At {
    Running,
    Event,   // PTRACE_EVENT_STOP: interrupted, new, or stopped by job control
    Signal,  // about to be given `signal`
    Entry,   // about to make a system call
    Exit,    // a system call just returned
    Gone,
  };

  explicit Tracee(pid_t id) : tid(id) {}

  pid_t tid;
  At at = At::Running;
  int signal = 0;      // At::Signal only
  int event = 0;       // At::Event only: PTRACE_EVENT_...
  int stopped_by = 0;  // the signal by which job control has stopped the process, as its last EVENT_STOP tells

  bool put_back = false;               // it stands in front of a call that has ended only because of the stop
  bool interrupted = false;            // an interrupt is on its way
  std::chrono::microseconds slice{0};  // drive() interrupts the thread if it runs so long without a stop; 0: never

  bool stopped() const { return at != At::Running && at != At::Gone; }
};

class Session {
 public:
  // Called for each thread as soon as it has been stopped by stop_all(), before the next one is.
  using AtStop = std::function<Status(Tracee&)>;

  // Seizes all threads, which run on. Busy, naming the tracer, if the process is traced already; Permission if it may
  // not be traced; NotFound if it has ended.
  static Result<Session> seize(pid_t pid, AtStop at_stop);

  Session(Session&&) noexcept = default;
  Session& operator=(Session&&) = delete;
  ~Session();  // lets every thread go

  pid_t pid() const { return pid_; }
  // The main thread first, the others ascending. Pointers stay valid until the thread is gone. A main thread that has
  // ended while others go on is not among them.
  std::vector<std::unique_ptr<Tracee>>& threads() { return threads_; }
  bool executed() const { return executed_; }  // the process replaced its program since it was seized

  // Seizes threads that were born meanwhile, which go on running. True if there were any.
  Result<bool> adopt_new_threads();

  // Sends a stopped thread on. At::Signal: with its signal.
  Status resume(Tracee& tracee, ptrace::Resume how);
  Status interrupt(Tracee& tracee);

  // Takes note of a stop, or the end, of a running thread if there was one. True if so.
  Result<bool> poll(Tracee& tracee);
  void drop_gone();

  // Lets `tracees` run, wherever they stand, until each has come to a stop that is its last.
  struct Drive {
    // Called at a stop, or when the thread is gone. True: done with this thread. False: it was sent on with resume().
    std::function<Result<bool>(Tracee&)> on_stop;
    const char* doing;  // for the error of a missed deadline
  };
  Status drive(const std::vector<Tracee*>& tracees, const Drive& drive, Deadline deadline, const CancelToken& cancel);

  // The same for threads of several processes, which run at the same time.
  struct Driven {
    Session* session;
    Tracee* tracee;
    std::function<Result<bool>(Tracee&)> on_stop;
  };
  static Status drive_all(const std::vector<Driven>& driven, const char* doing, Deadline deadline,
                          const CancelToken& cancel);

  // Stops every thread that is running, newcomers included, one after the other: what a stop does to a call
  // (tracer/rewind.h) is put right within microseconds, thread by thread.
  Status stop_all(Deadline deadline, const CancelToken& cancel);

  // The thread that a vfork(2) of its own keeps from stopping, and what it has made: a running thread of the process
  // waits in the kernel until that one executes a program or ends. Zeros: none.
  struct Vfork {
    pid_t tid = 0, child = 0;
  };
  Vfork vfork_in_flight() const;

  // Detaches from all threads; those that are running are stopped for it first. Best effort and bounded in time.
  void release();

 private:
  Session(pid_t pid, AtStop at_stop) : pid_(pid), at_stop_(std::move(at_stop)) {}

  Status note_stop(Tracee& tracee, int signal, int event);

  pid_t pid_;
  AtStop at_stop_;
  std::vector<std::unique_ptr<Tracee>> threads_;
  bool executed_ = false;
};

// Sleeps between two rounds of polling, longer and longer. Lowers the thread's timer slack while it lives.
class Pause {
 public:
  Pause();
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
  ~Pause();
  void wait();
  void reset() { rounds_ = 0; }

 private:
  unsigned rounds_ = 0;
  int slack_;
};

// "thread 12 (state S, in futex_wait_queue)": what a thread that does not come to a stop is doing.
std::string describe_thread(pid_t pid, pid_t tid);

Error timed_out(pid_t pid, pid_t tid, std::string doing);

}  // namespace stasis::tracer
