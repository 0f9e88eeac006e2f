// Calls that only the thread itself can make, safe against the death of the tracer at any instant (wire/parasite.h).
//
// The life of a thread under a parasite, and what it does if the tracer dies there:
//
//   stopped at its own context                         goes on
//     | block and frame written into the window        goes on; nobody looks at them
//     | PTRACE_SETREGS: rip = parasite entry           makes the calls, rt_sigreturn: its own context again
//     | PTRACE_SETSIGMASK: all blocked                 likewise; the frame holds its own mask
//     | PTRACE_SYSCALL ... through the list            likewise
//   entry stop of rt_sigreturn                         likewise
//     | go_home(), thread that was in user mode: the rt_sigreturn is done
//   exit stop of rt_sigreturn                          goes on; it stands at its own context again
//     | go_home(), thread that was in an interrupted call: first its own mask, then registers that enter the call again
//   entry stop of its own call                         makes the call: with the time that was left, if it was a
//   relative wait,
//                                                      since no rt_sigreturn has discarded the kernel's restart block
//
// From a home stop another list can be run. Detaching there ends it all.
//
// A list under PTRACE_SYSCALL stops twice at each call. Where the program ignores a signal by default and lets it through, the
// list ends with that signal to itself instead, and the thread runs freely until the tracer is told of it, and drops it. Without
// a tracer it is ignored.
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "os/process_memory.h"
#include "tracer/rewind.h"
#include "tracer/session.h"
#include "wire/descriptor.h"
#include "wire/parasite.h"

namespace stasis::tracer {

// Memory in the window for one thread's run, ascending: a stack (for a signal handler, should the tracer die between
// SETREGS and SETSIGMASK), the block, the commands, the data, the frame.
struct ParasiteSlot {
  std::uint64_t address = 0;  // 64-byte aligned
  std::uint64_t bytes = 0;
  std::uint64_t data_bytes = 0;  // a multiple of 64

  static constexpr std::uint64_t kMinStackBytes = 8192;
  // For so many commands.
  static std::uint64_t bytes_needed(std::uint64_t frame_bytes, std::uint64_t data_bytes, std::uint64_t commands);
};

struct RemoteCall {
  long number;
  std::uint64_t arguments[6] = {};
};

// One thread with what is needed to send it through calls and home.
struct ParasiteThread {
  Tracee* tracee = nullptr;
  user_regs_struct live{};      // the own context, in the entry stop of the interrupted call if there is one
  user_regs_struct fallback{};  // the same context without the kernel's help: what the frame holds
  bool in_call = false;
  // The list has put into the thread's queue what is left of its wait (wire/waits.h): `fallback` is in front of a call, which a
  // home stop counts as made. If the tracer dies before, the signal is of no use, and the call is made with all of its time.
  bool rest_queued = false;
  std::uint64_t mask = 0;
  int bell = 0;  // a signal that the thread neither handles nor blocks, and that is ignored by default; 0: none
  std::vector<std::uint8_t> xsave;
  ParasiteSlot slot;
  std::vector<wire::ParasiteCommand> commands;  // with results after run()
  std::vector<std::uint8_t> data;               // likewise: what the calls read and write

  std::int64_t result(std::size_t command) const { return commands[command].result; }
  void clear() {
    commands.clear();
    data.clear();
  }
};

class Parasite {
 public:
  Parasite(Session& session, const ProcessMemory& memory, const wire::Descriptor& runtime)
      : session_(session), memory_(memory), runtime_(runtime) {}

  // Adds a call to the thread's list; its result will be in result(index).
  static std::size_t add(ParasiteThread& thread, const RemoteCall& call);
  // Room for `bytes` in the data, zeros, for the calls of the list: the offset. The slot has data_bytes of it.
  static std::size_t reserve(ParasiteThread& thread, std::size_t bytes);
  // Where data[offset] will be in the process.
  static std::uint64_t data_address(const ParasiteThread& thread, std::uint64_t offset);
  // Whether the slot has room for the list as it is.
  static bool fits(const ParasiteThread& thread);

  // Runs the lists of all the threads at the same time, from any stop but Signal; leaves them in the entry stop of
  // rt_sigreturn.
  Status run(const std::vector<ParasiteThread*>& threads, Deadline deadline, const CancelToken& cancel);

  // Takes them to a home stop.
  Status go_home(const std::vector<ParasiteThread*>& threads, Deadline deadline, const CancelToken& cancel);

  // The same for threads of several processes.
  struct Job {
    Parasite* parasite;
    ParasiteThread* thread;
  };
  static Status run_all(const std::vector<Job>& jobs, Deadline deadline, const CancelToken& cancel);
  static Status go_home_all(const std::vector<Job>& jobs, Deadline deadline, const CancelToken& cancel);

  // The parts of run(): one thread is sent on its way; at each of its stops it is sent on again until it stands in the
  // entry stop of rt_sigreturn (true); results are fetched.
  Status start(ParasiteThread& thread);
  Result<bool> at_sigreturn(ParasiteThread& thread);
  Status fetch(ParasiteThread& thread);

 private:
  Session& session_;
  const ProcessMemory& memory_;
  const wire::Descriptor& runtime_;
};

}  // namespace stasis::tracer
