// The application's first process: started here by executing the runtime, or adopted with the runtime already on its
// way; watched until its program runs, ended here if that fails.
//
// The report page and the write end of the `done` pipe are the only descriptors it gets beside 0, 1 and 2 (and the plan
// of a restore). The runtime marks the page and then closes both, so end-of-file on the pipe with a page marked Done is
// success; with anything else the process is dead or dying.
#pragma once

#include <sys/types.h>

#include "keeper/failure.h"
#include "keeper/options.h"
#include "wire/report.h"

namespace stasis::keeper {

class Application {
 public:
  // Executes the runtime in a child, unless the options name one. True when it was executed, which says nothing about
  // the program yet.
  bool start(const Options& options, Failure& failure);

  // To be polled for POLLHUP until finish_start(); -1 afterwards.
  int done_fd() const { return done_fd_; }

  // After end-of-file on done_fd(): whether the program runs. Waits shortly for a dying process, to tell how it died. If
  // it does not run, abandon() is next.
  bool finish_start(Failure& failure);

  // Kills and reaps half-built processes: every child but `spared`, and theirs.
  void abandon(pid_t spared);

  pid_t pid() const { return pid_; }
  const wire::Report& report() const { return *report_; }

  // A signal for the process, by pidfd. Returns 0 or errno.
  int signal(int number) const;
  // With the value that came with it (sigqueue).
  int signal_with_value(int number, void* value) const;

 private:
  bool make_ids(const Options& options, Failure& failure);
  bool execute(const Options& options, Failure& failure);
  bool make_report(Failure& failure);
  bool map_report(Failure& failure);
  void describe_death(Failure& failure);

  pid_t pid_ = 0;
  int pidfd_ = -1;
  int done_fd_ = -1;
  int report_fd_ = -1;
  int ids_fd_ = -1;  // stays open for processes that lose theirs
  wire::Report* report_ = nullptr;
};

}  // namespace stasis::keeper
