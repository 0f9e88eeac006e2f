// All that a thread is, in the program's terms: read while every thread is held, by ptrace and by calls made in the
// thread.
#pragma once

#include <signal.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "arch/x86_64/sigframe.h"
#include "os/process_memory.h"
#include "os/ptrace.h"
#include "tracer/parasite.h"
#include "tracer/quiesce.h"
#include "tracer/waits.h"
#include "wire/descriptor.h"

namespace stasis::tracer {

struct ThreadState {
  pid_t tid = 0;
  std::string name;
  user_regs_struct registers{};  // no call in progress, none of the runtime's frames
  std::vector<std::uint8_t> xsave;
  std::uint64_t mask = 0;
  arch::KernelStack alternate_stack{};
  std::uint64_t clear_child_tid = 0;
  std::uint64_t robust_list = 0, robust_list_bytes = 0;
  ptrace::RseqConfiguration rseq;
  std::uint64_t wait_ns = 0;      // left of the wait that `registers` are about to begin; 0: all, or no such call
  std::vector<siginfo_t> queued;  // own queue, oldest first, without the runtime's SIGSYS
};

struct ProcessState {
  std::vector<ThreadState> threads;  // the main thread first, unless it has ended
  std::vector<siginfo_t> queued;     // the process's queue
  wire::RuntimeState runtime{};
  std::uint64_t program_break = 0;
  std::array<std::int64_t, 12> interval_timers{};  // real, virtual, prof: interval s, us, value s, us
  std::int64_t monotonic_ns = 0, boottime_ns = 0;  // the program's clocks
  ParasiteThread first_thread;                     // for more lists to run in the first thread
};

// More calls to be made in the threads. Data and commands are added to what is there (Parasite::reserve, add); a thread
// that is not the first has room for a few calls and some hundred bytes.
class Question {
 public:
  virtual ~Question() = default;
  virtual void ask(ParasiteThread& thread, bool first) = 0;
  virtual Status take(const ParasiteThread& thread, bool first) = 0;
};
using Questions = std::vector<Question*>;

struct ProcessToRead {
  Session* session;
  const std::vector<SettledThread>* settled;  // as quiesce gave it
  const ProcessMemory* memory;
  const wire::Descriptor* runtime;
  std::uint64_t caught;  // signals with a handler
  Questions questions;
  const Waits* waits;
  bool may_queue;  // no seccomp filter of the program's own forbids the thread to send itself what is left of its wait
};

// The processes make their calls at the same time. Afterwards every thread stands at a home stop (tracer/parasite.h) and the
// window holds nothing of this.
Result<std::vector<ProcessState>> read_processes(const std::vector<ProcessToRead>& processes, Deadline deadline,
                                                 const CancelToken& cancel);

}  // namespace stasis::tracer
