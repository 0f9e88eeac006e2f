#include "tracer/threads.h"

#include <linux/audit.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "os/procfs.h"
#include "tracer/frame.h"
#include "tracer/parasite.h"
#include "tracer/rewind.h"
#include "wire/layout.h"
#include "wire/waits.h"

namespace stasis::tracer {

namespace {

constexpr std::uint32_t kOnAlternateStack = 1;     // SS_ONSTACK: a state, not a setting
constexpr std::uint32_t kAutoDisarm = 0x80000000;  // SS_AUTODISARM, 4.7
constexpr int kSeccompCode = 1;                    // SYS_SECCOMP
constexpr std::uint64_t kSyscallBytes = 2;

// Places of results in a thread's data; the main thread's list has more than the two calls of the others.
constexpr std::uint64_t kStackAt = 0;
constexpr std::uint64_t kTidAddressAt = 32;
constexpr std::uint64_t kTidAddressCall = 1;

// The room of a thread's list; the first thread's has what the runtime's static area leaves.
constexpr std::uint64_t kMainDataBytes = 512 * 1024;
constexpr std::uint64_t kDataBytes = 1024;
constexpr std::uint64_t kMostCalls = 16;

std::int64_t now_ns(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// A signal without effect on the thread (tracer/parasite.h, ParasiteThread::bell). One that the program ignores is as good.
int bell_for(std::uint64_t mask, std::uint64_t caught) {
  for (const int signal : {SIGURG, SIGWINCH}) {
    const std::uint64_t bit = 1ULL << (signal - 1);
    if ((mask & bit) == 0 && (caught & bit) == 0) return signal;
  }
  return 0;
}

class Reader {
 public:
  explicit Reader(const ProcessToRead& process)
      : session_(*process.session),
        memory_(*process.memory),
        runtime_(*process.runtime),
        parasite_(session_, memory_, runtime_),
        caught_(process.caught),
        questions_(process.questions),
        waits_(*process.waits),
        may_queue_(process.may_queue) {}

  // What ptrace tells, and the lists of calls. Then the lists are run: the first thread's, which makes room for those of the
  // others, theirs, and another of the first thread's.
  Status begin(const std::vector<SettledThread>& settled);
  void first(std::vector<Parasite::Job>& jobs);
  Status take_first();
  void others(std::vector<Parasite::Job>& jobs);
  Status take_others() { return take_results(1, parasites_.size()); }
  void last(std::vector<Parasite::Job>& jobs);
  ProcessState take();

 private:
  Status read_by_ptrace(const SettledThread& settled, ThreadState& state, ParasiteThread& parasite);
  void continue_wait(const ThreadState& state, ParasiteThread& parasite);
  void queue_rest(const ThreadState& state, ParasiteThread& parasite);
  Status read_window_frame(const SettledThread& settled, ThreadState& state);
  Status lay_out_slots();
  void ask(ParasiteThread& thread);
  Status take_results(std::size_t first, std::size_t end);
  Status note_late_alarm();
  WaitingSignal signal_for(const ThreadState& state);
  // Any thread can be asked for what is the process's; the main one may have ended.
  pid_t first_tid() const { return session_.threads().front()->tid; }

  Session& session_;
  const ProcessMemory& memory_;
  const wire::Descriptor& runtime_;
  Parasite parasite_;
  std::uint64_t caught_;
  Questions questions_;
  const Waits& waits_;
  bool may_queue_;
  ProcessState process_;
  std::vector<ParasiteThread> parasites_;  // as process_.threads
  std::vector<bool> stack_from_frame_;
  bool process_signal_taken_ = false;
  std::uint64_t arena_bytes_ = 0;
  std::size_t program_break_ = 0, timers_ = 0, arena_ = 0;  // places in the first thread's list and data
};

// A signal that waits for the process goes to one thread only: the first that has it open, as the kernel prefers the
// main thread.
WaitingSignal Reader::signal_for(const ThreadState& state) {
  const WaitingSignal own = waiting_signal(state.queued, state.mask, caught_, process_.runtime);
  if (own.any || process_signal_taken_) return own;
  const WaitingSignal shared = waiting_signal(process_.queued, state.mask, caught_, process_.runtime);
  process_signal_taken_ = shared.any;
  return shared;
}

Status Reader::read_by_ptrace(const SettledThread& settled, ThreadState& state, ParasiteThread& parasite) {
  const pid_t tid = settled.tracee->tid;
  state.tid = tid;
  state.name = STASIS_TRY(procfs::read_text(session_.pid(), "task/" + std::to_string(tid) + "/comm"));
  if (!state.name.empty() && state.name.back() == '\n') state.name.pop_back();
  state.xsave = STASIS_TRY(ptrace::xstate(tid));
  state.mask = STASIS_TRY(ptrace::signal_mask(tid));
  state.rseq = STASIS_TRY(ptrace::rseq_configuration(tid));
  state.queued = STASIS_TRY(ptrace::queued_signals(tid, ptrace::Queue::Thread));
  std::erase_if(state.queued,
                [](const siginfo_t& info) { return info.si_signo == SIGSYS && info.si_code == kSeccompCode; });
  void* list = nullptr;
  std::size_t list_bytes = 0;
  if (::syscall(SYS_get_robust_list, tid, &list, &list_bytes) != 0) {
    return Error::of_errno("get_robust_list", "reading the robust futex list").with_tid(tid);
  }
  state.robust_list = reinterpret_cast<std::uint64_t>(list);
  state.robust_list_bytes = list_bytes;

  user_regs_struct registers = settled.registers;
  const WaitingSignal waiting = signal_for(state);
  parasite.tracee = settled.tracee;
  parasite.mask = state.mask;
  parasite.bell = bell_for(state.mask, caught_);
  parasite.xsave = state.xsave;
  const bool in_call = settled.interruption != Interruption::None;
  parasite.in_call = settled.interruption != Interruption::None;
  parasite.live = registers;
  if (parasite.in_call) {
    parasite.live.rax = static_cast<unsigned long long>(-ENOSYS);  // as the kernel presets it at every entry
    if (settled.interruption == Interruption::RestartBlock) parasite.live.orig_rax = SYS_restart_syscall;
    registers.orig_rax = static_cast<unsigned long long>(settled.call);
  } else {
    STASIS_TRY(leave_rseq_section(state.rseq, memory_, registers));
    parasite.live = registers;
  }
  parasite.fallback = outside_call(registers, settled.interruption, waiting);
  state.registers = parasite.fallback;
  const bool in_window = settled.place == Place::InWindow;
  stack_from_frame_.push_back(in_window);
  if (in_window) STASIS_TRY(read_window_frame(settled, state));
  // Of a call that is to be made again, and of none that ends with EINTR.
  const bool again = settled.tracee->put_back || (in_call && static_cast<long>(state.registers.rax) == settled.call);
  if (again) state.wait_ns = waits_.left_of(session_.pid(), settled, memory_);
  if (state.wait_ns != 0) continue_wait(state, parasite);
  return {};
}

// A thread in the blocking window: what the program's thread was doing is in the frame of the SIGSYS that trapped its
// call.
Status Reader::read_window_frame(const SettledThread& settled, ThreadState& state) {
  const auto frame = STASIS_TRY(memory_.read_value<arch::KernelUcontext>(settled.registers.rbx));
  const std::uint64_t call = frame.context.rax;
  user_regs_struct trapped = registers_of(frame.context, settled.registers);
  trapped.orig_rax = call;
  // Where the kernel would end the call with EINTR, or did so already, the program sees EINTR from its own call.
  const bool ended = static_cast<long>(state.registers.rax) == -EINTR && state.registers.rip == runtime_.blocking_after;
  if (ended) {
    trapped.rax = static_cast<unsigned long long>(-EINTR);
    trapped.orig_rax = static_cast<unsigned long long>(-1);
    state.registers = trapped;
  } else {
    state.registers = rewound(trapped);
  }
  state.mask = frame.signal_mask;
  state.xsave = STASIS_TRY(xsave_of(memory_, frame.context));
  state.alternate_stack = frame.stack;
  return {};
}

// The live thread, too, goes on with what is left: the kernel's own record, where it has one, cannot be read by a later checkpoint,
// and a call that the stop has ended would begin anew. So it leaves the kernel, and the runtime's window, and waits by
// the runtime's handler from now on, as a restored one does. A stack with SS_AUTODISARM is disarmed in the window; and a SIGSYS of the
// program's own would keep ours out of the queue.
void Reader::continue_wait(const ThreadState& state, ParasiteThread& parasite) {
  const bool taken = std::any_of(state.queued.begin(), state.queued.end(),
                                 [](const siginfo_t& info) { return info.si_signo == SIGSYS; });
  if (!may_queue_ || taken || (state.alternate_stack.flags & kAutoDisarm) != 0) return;
  parasite.rest_queued = true;
  parasite.in_call = false;
  parasite.fallback = state.registers;
  parasite.live = state.registers;
  parasite.mask = state.mask;
  parasite.bell = bell_for(state.mask, caught_);
  parasite.xsave = state.xsave;
}

void Reader::queue_rest(const ThreadState& state, ParasiteThread& parasite) {
  wire::WaitInfo info{};
  info.signal = SIGSYS;
  info.error = wire::kWaitData;
  info.code = wire::kWaitCode;
  info.call_address = state.registers.rip + kSyscallBytes;
  info.number = static_cast<i32>(state.registers.rax);
  info.architecture = AUDIT_ARCH_X86_64;
  info.until_ns = static_cast<u64>(now_ns(CLOCK_MONOTONIC)) + state.wait_ns;
  const std::size_t at = Parasite::reserve(parasite, sizeof(siginfo_t));
  std::memcpy(parasite.data.data() + at, &info, sizeof info);
  Parasite::add(parasite, {SYS_rt_tgsigqueueinfo,
                           {static_cast<std::uint64_t>(session_.pid()), static_cast<std::uint64_t>(state.tid), SIGSYS,
                            Parasite::data_address(parasite, at)}});
}

Status Reader::lay_out_slots() {
  std::uint64_t largest = 0;
  for (const ParasiteThread& thread : parasites_) largest = std::max(largest, frame_bytes(thread.xsave));
  const std::uint64_t slot_bytes = ParasiteSlot::bytes_needed(largest, kDataBytes, kMostCalls);
  ParasiteThread& main = parasites_.front();
  main.slot = {(runtime_.main_parasite_area + 63) & ~63ULL, 0, kMainDataBytes};
  main.slot.bytes = (runtime_.main_parasite_area + runtime_.main_parasite_bytes - main.slot.address) & ~63ULL;
  if (main.slot.bytes < slot_bytes + kMainDataBytes) {
    return Error::plain(ErrorKind::Unsupported, "the runtime has no room for this processor's extended registers");
  }
  arena_bytes_ = (slot_bytes * (parasites_.size() - 1) + wire::kPageBytes - 1) & ~(wire::kPageBytes - 1);
  if (arena_bytes_ > wire::kParasiteArenaMaxBytes) {
    return Error::plain(ErrorKind::Unsupported,
                        "the application has " + std::to_string(parasites_.size()) + " threads; at most " +
                            std::to_string(wire::kParasiteArenaMaxBytes / slot_bytes) + " can be saved");
  }
  for (std::size_t i = 1; i < parasites_.size(); ++i) {
    parasites_[i].slot = {wire::kParasiteArenaBase + (i - 1) * slot_bytes, slot_bytes, kDataBytes};
  }
  return {};
}

void Reader::ask(ParasiteThread& thread) {
  const std::uint64_t data = Parasite::reserve(thread, kTidAddressAt + sizeof(std::uint64_t));
  STASIS_CHECK(data == 0);
  Parasite::add(thread, {SYS_sigaltstack, {0, Parasite::data_address(thread, kStackAt)}});
  Parasite::add(thread, {SYS_prctl, {PR_GET_TID_ADDRESS, Parasite::data_address(thread, kTidAddressAt)}});
}

Status Reader::begin(const std::vector<SettledThread>& settled) {
  process_.runtime = STASIS_TRY(memory_.read_value<wire::RuntimeState>(runtime_.state));
  process_.queued = STASIS_TRY(ptrace::queued_signals(first_tid(), ptrace::Queue::Process));
  process_.monotonic_ns = now_ns(CLOCK_MONOTONIC) + process_.runtime.monotonic_offset_ns;
  process_.boottime_ns = now_ns(CLOCK_BOOTTIME) + process_.runtime.boottime_offset_ns;
  process_.threads.resize(settled.size());
  parasites_.resize(settled.size());
  for (std::size_t i = 0; i < settled.size(); ++i) {
    STASIS_TRY(read_by_ptrace(settled[i], process_.threads[i], parasites_[i]));
  }
  STASIS_TRY(lay_out_slots());
  ParasiteThread& main = parasites_.front();
  for (std::size_t i = 0; i < parasites_.size(); ++i) {
    ask(parasites_[i]);
    if (parasites_[i].rest_queued) queue_rest(process_.threads[i], parasites_[i]);
  }
  program_break_ = Parasite::add(main, {SYS_brk, {0}});
  timers_ = Parasite::reserve(main, 3 * sizeof(itimerval));
  for (std::uint64_t which = 0; which < 3; ++which) {
    Parasite::add(main, {SYS_getitimer, {which, Parasite::data_address(main, timers_ + which * sizeof(itimerval))}});
  }
  if (arena_bytes_ != 0) {
    // Nothing else uses the arena: what a checkpoint that was killed left there is out of use, since no thread is in
    // the runtime.
    arena_ = Parasite::add(
        main, {SYS_mmap,
               {wire::kParasiteArenaBase, arena_bytes_, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, static_cast<std::uint64_t>(-1), 0}});
  }
  for (Question* question : questions_) {
    for (ParasiteThread& thread : parasites_) question->ask(thread, &thread == &main);
    if (!Parasite::fits(main)) {
      return Error::plain(ErrorKind::Unsupported, "the application has more to be asked for than the runtime has room");
    }
  }
  return {};
}

Status Reader::take_first() {
  const ParasiteThread& main = parasites_.front();
  process_.program_break = static_cast<std::uint64_t>(main.result(program_break_));
  std::memcpy(process_.interval_timers.data(), main.data.data() + timers_, sizeof process_.interval_timers);
  STASIS_TRY(note_late_alarm());
  STASIS_TRY(take_results(0, 1));
  if (arena_bytes_ == 0 || main.result(arena_) >= 0) return {};
  return Error::of_errno(static_cast<int>(-main.result(arena_)), "mmap", "making room in the runtime's window");
}

void Reader::first(std::vector<Parasite::Job>& jobs) { jobs.push_back({&parasite_, &parasites_.front()}); }

void Reader::others(std::vector<Parasite::Job>& jobs) {
  for (std::size_t i = 1; i < parasites_.size(); ++i) jobs.push_back({&parasite_, &parasites_[i]});
}

// The arena is reserved again, where there was one.
void Reader::last(std::vector<Parasite::Job>& jobs) {
  if (arena_bytes_ == 0) return;
  ParasiteThread& main = parasites_.front();
  main.clear();
  Parasite::add(main, {SYS_mmap,
                       {wire::kParasiteArenaBase, wire::kParasiteArenaMaxBytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, static_cast<std::uint64_t>(-1), 0}});
  first(jobs);
}

// Timers run on while the threads are held. The signal of one that expired before getitimer(2) belongs to what was read
// there. And a periodic ITIMER_REAL is set again only when its SIGALRM is taken (kernel/signal.c, dequeue_signal):
// until then it shows as unset, and setting it so would end it.
Status Reader::note_late_alarm() {
  process_.queued = STASIS_TRY(ptrace::queued_signals(first_tid(), ptrace::Queue::Process));
  std::int64_t* real = process_.interval_timers.data();
  const bool periodic = real[0] != 0 || real[1] != 0, unset = real[2] == 0 && real[3] == 0;
  const bool waits = std::any_of(process_.queued.begin(), process_.queued.end(),
                                 [](const siginfo_t& info) { return info.si_signo == SIGALRM; });
  if (periodic && unset && waits) std::copy(real, real + 2, real + 2);
  return {};
}

// Of threads that have run their lists.
Status Reader::take_results(std::size_t first, std::size_t end) {
  for (std::size_t i = first; i < end; ++i) {
    const ParasiteThread& thread = parasites_[i];
    ThreadState& state = process_.threads[i];
    if (thread.result(kTidAddressCall) < 0) {
      return Error::of_errno(static_cast<int>(-thread.result(kTidAddressCall)), "prctl",
                             "reading the thread's exit address (CONFIG_CHECKPOINT_RESTORE)")
          .with_tid(state.tid);
    }
    const std::uint8_t* data = thread.data.data();
    if (!stack_from_frame_[i]) std::memcpy(&state.alternate_stack, data + kStackAt, sizeof state.alternate_stack);
    state.alternate_stack.flags &= ~kOnAlternateStack;
    std::memcpy(&state.clear_child_tid, data + kTidAddressAt, sizeof state.clear_child_tid);
    for (Question* question : questions_) STASIS_TRY(question->take(thread, i == 0));
  }
  return {};
}

ProcessState Reader::take() {
  process_.first_thread = std::move(parasites_.front());
  process_.first_thread.clear();
  return std::move(process_);
}

}  // namespace

Result<std::vector<ProcessState>> read_processes(const std::vector<ProcessToRead>& processes, Deadline deadline,
                                                 const CancelToken& cancel) {
  std::vector<std::unique_ptr<Reader>> readers;
  for (const ProcessToRead& process : processes) {
    readers.push_back(std::make_unique<Reader>(process));
    STASIS_TRY(readers.back()->begin(*process.settled));
  }
  std::vector<Parasite::Job> first, others, last;
  for (const auto& reader : readers) reader->first(first);
  STASIS_TRY(Parasite::run_all(first, deadline, cancel));
  for (const auto& reader : readers) {
    STASIS_TRY(reader->take_first());
    reader->others(others);
  }
  if (!others.empty()) {
    STASIS_TRY(Parasite::run_all(others, deadline, cancel));
    for (const auto& reader : readers) {
      STASIS_TRY(reader->take_others());
      reader->last(last);
    }
    STASIS_TRY(Parasite::go_home_all(others, deadline, cancel));  // their frames are in the arena
    STASIS_TRY(Parasite::run_all(last, deadline, cancel));
  }
  STASIS_TRY(Parasite::go_home_all(first, deadline, cancel));
  std::vector<ProcessState> states;
  for (const auto& reader : readers) states.push_back(reader->take());
  return states;
}

}  // namespace stasis::tracer
