// Signals at the keeper: which of them are the application's, and how they get there.
//
// The keeper blocks every signal and reads them from a signalfd. In the foreground it is the process that others know,
// so what is sent to its pid is forwarded. What is sent to the process group (by the terminal, by a shell that hangs up
// or continues a job, by kill(0)) has reached the application already, which is in the same group, and must not be
// doubled. si_code tells the terminal's signals (SI_KERNEL) from those of a process, but nothing tells kill(pid) from
// kill(-group). So the keeper has a *witness*: a child in the same group that blocks all signals and sleeps. The kernel
// signals a group's members newest first (attach_pid puts a newcomer at the head of the list), so when the keeper reads
// a signal to the group, it is already pending for the witness, and a signal to the keeper alone never is. A witness
// that has seen a signal is replaced.
#pragma once

#include <sys/signalfd.h>
#include <sys/types.h>

#include "keeper/application.h"

namespace stasis::keeper {

// Blocks all signals and returns a non-blocking signalfd for them, or -1 with errno.
int open_signals();

class Witness {
 public:
  // In the keeper's process group, sharing its memory; dies with the keeper. Without one, every signal counts as sent
  // to the keeper.
  void start();
  void stop();
  pid_t pid() const { return pid_; }  // 0: there is none
  // A child was reaped: the witness may have been killed.
  void reaped(pid_t pid) {
    if (pid == pid_) pid_ = 0;
  }

  // Whether the signal was sent to the whole group. Replaces the witness if so.
  bool saw(int signal);

 private:
  pid_t pid_ = 0;
};

// Forwards a signal that was sent to the keeper, as it was sent; not the terminal's, not the application's own, not
// SIGCHLD.
void forward_signal(const signalfd_siginfo& info, const Application& application, Witness& witness);

// Stops the keeper as `signal` (SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU) has stopped the application, so that the shell sees
// a stopped job. Returns when the keeper is continued.
void stop_with(int signal);

// Ends the keeper by `signal`, so that whoever waits for it sees the application's death; without a core file.
[[noreturn]] void die_by(int signal);

}  // namespace stasis::keeper
