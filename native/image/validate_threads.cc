// Threads, signal actions and queued signals.
#include <cstring>
#include <set>

#include "image/validate.h"
#include "wire/ids.h"
#include "wire/waits.h"

namespace stasis::image {

namespace {

constexpr std::size_t kCommBytes = 15;  // of TASK_COMM_LEN 16 with its zero
constexpr std::size_t kSiginfoBytes = 128;
constexpr std::uint32_t kSigkill = 9, kSigstop = 19;

// XSAVE area, standard format (Intel SDM vol. 1, 13.4): 512 bytes of legacy state with MXCSR at 24, then the header of
// 64 bytes: XSTATE_BV, XCOMP_BV, zeros.
constexpr std::size_t kXsaveLegacyBytes = 512;
constexpr std::size_t kXsaveHeaderBytes = 64;
constexpr std::size_t kXsaveMaxBytes = 64 * 1024;
constexpr std::size_t kMxcsrAt = 24;
constexpr std::uint32_t kMxcsrReserved = 0xffff0000;
constexpr std::uint64_t kLegacyStates = 3;  // x87 and SSE

std::uint64_t u64_at(const std::vector<std::uint8_t>& bytes, std::size_t offset) {
  std::uint64_t value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// XRSTOR faults on what is refused here, and a thread whose rt_sigreturn faults is killed with SIGSEGV after everything
// else went well.
Status check_xsave(const std::vector<std::uint8_t>& area, std::uint64_t xcr0, const std::string& subject) {
  if (area.size() < kXsaveLegacyBytes + kXsaveHeaderBytes || area.size() > kXsaveMaxBytes || area.size() % 8 != 0) {
    return invalid(subject, "no XSAVE area has " + std::to_string(area.size()) + " bytes");
  }
  std::uint32_t mxcsr;
  std::memcpy(&mxcsr, area.data() + kMxcsrAt, sizeof mxcsr);
  if ((mxcsr & kMxcsrReserved) != 0) return invalid(subject, "reserved bits of MXCSR are set");
  const std::uint64_t present = u64_at(area, kXsaveLegacyBytes);
  if ((present & ~(xcr0 | kLegacyStates)) != 0)
    return invalid(subject, "XSAVE states that the header's xcr0 does not have");
  for (std::size_t at = kXsaveLegacyBytes + 8; at < kXsaveLegacyBytes + kXsaveHeaderBytes; at += 8) {
    if (u64_at(area, at) != 0) return invalid(subject, "the XSAVE header is not of the standard format");
  }
  if ((present & ~kLegacyStates) != 0 && area.size() == kXsaveLegacyBytes + kXsaveHeaderBytes) {
    return invalid(subject, "the XSAVE area has no room for the states it announces");
  }
  return {};
}

Status check_thread(const Thread& thread, std::uint64_t xcr0, const std::string& subject) {
  if (thread.name.size() > kCommBytes || thread.name.find('\0') != std::string::npos)
    return invalid(subject, "no possible name");
  STASIS_TRY(check_xsave(thread.xsave, xcr0, subject));
  const GeneralRegisters& r = thread.registers;
  if (!is_user_address(r.rip)) return invalid(subject, "rip is no address of a program");
  if (!is_user_address(r.fs_base) || !is_user_address(r.gs_base))
    return invalid(subject, "a segment base outside user space");
  for (const std::uint64_t address :
       {thread.altstack_address, thread.clear_child_tid, thread.tid_word, thread.robust_list, thread.rseq_address}) {
    if (!is_user_address(address)) return invalid(subject, "an address outside user space");
  }
  if (thread.wait_ns != 0 && wire::timed_wait(r.rax) == nullptr)
    return invalid(subject, "time is left of a call that does not wait for any");
  if (thread.tid_word % sizeof(std::int32_t) != 0) return invalid(subject, "a tid word that is not aligned");
  return {};
}

Status check_signals(const ProcessImage& image, const std::set<std::int32_t>& tids) {
  std::set<std::uint32_t> seen;
  for (std::size_t i = 0; i < image.actions.size(); ++i) {
    const Action& action = image.actions[i];
    const std::string subject = nth("action", i);
    if (!is_signal(action.signal) || action.signal == kSigkill || action.signal == kSigstop) {
      return invalid(subject, "signal " + std::to_string(action.signal) + " has no action");
    }
    if (!seen.insert(action.signal).second)
      return invalid(subject, "a second action of signal " + std::to_string(action.signal));
    if (!is_user_address(action.handler) || !is_user_address(action.restorer))
      return invalid(subject, "a handler outside user space");
  }
  for (std::size_t i = 0; i < image.queued_signals.size(); ++i) {
    const QueuedSignal& queued = image.queued_signals[i];
    const std::string subject = nth("queued-signal", i);
    if (!is_signal(queued.signal)) return invalid(subject, "no such signal");
    if (queued.tid != 0 && !tids.contains(queued.tid)) return invalid(subject, "there is no such thread");
    if (queued.info.size() != kSiginfoBytes) return invalid(subject, "the siginfo has not 128 bytes");
    std::uint32_t number;
    std::memcpy(&number, queued.info.data(), sizeof number);
    if (number != queued.signal) return invalid(subject, "the siginfo is of another signal");
  }
  return {};
}

Status check_timers(const ProcessImage& section, const std::set<std::int32_t>& tids) {
  std::set<std::int32_t> ids;
  for (std::size_t i = 0; i < section.posix_timers.size(); ++i) {
    const PosixTimer& timer = section.posix_timers[i];
    const std::string subject = nth("posix-timer", i) + " (" + std::to_string(timer.id) + ")";
    if (timer.id < 0 || !ids.insert(timer.id).second) return invalid(subject, "no id of its own");
    const bool to_thread = timer.notify == TimerNotify::Thread;
    if (timer.notify != TimerNotify::Signal && timer.notify != TimerNotify::None && !to_thread)
      return invalid(subject, "no such way to notify");
    if (timer.notify != TimerNotify::None && !is_signal(timer.signal)) return invalid(subject, "no such signal");
    if (to_thread != (timer.tid != 0) || (to_thread && !tids.contains(timer.tid)))
      return invalid(subject, "there is no such thread");
    if (timer.interval_ns < 0 || timer.remaining_ns < 0) return invalid(subject, "a negative time");
    if (timer.waits && timer.notify == TimerNotify::None)
      return invalid(subject, "a signal of a timer that sends none");
  }
  return {};
}

Status check_settings(const ProcessImage& section, const std::set<std::int32_t>& tids) {
  constexpr std::size_t kMostGroups = 65536, kMostProcessorBytes = 1024;  // NGROUPS_MAX
  if (section.credentials.size() > 1) return invalid("credentials", "there are several");
  if (section.limits.size() > 1) return invalid("limits", "there are several");
  for (const Credentials& credentials : section.credentials) {
    if (credentials.groups.size() > kMostGroups) return invalid("credentials", "more groups than a process can have");
  }
  std::set<std::int32_t> seen;
  for (std::size_t i = 0; i < section.scheduling.size(); ++i) {
    const Scheduling& record = section.scheduling[i];
    if (!tids.contains(record.tid) || !seen.insert(record.tid).second)
      return invalid(nth("scheduling", i), "not of a thread of its own");
    if (record.affinity.size() > kMostProcessorBytes) return invalid(nth("scheduling", i), "too many processors");
  }
  return {};
}

Status check_known_ids(const Image& image, const std::set<std::int32_t>& tids) {
  if (image.known_ids.size() > 1) return invalid("known-ids", "there are several");
  std::uint32_t last = 0;
  for (const KnownIds& known : image.known_ids) {
    for (const std::uint32_t id : known.processes) {
      if (id <= last || id >= wire::kPidLimit) return invalid("known-ids", "not ascending process ids");
      if (tids.contains(static_cast<std::int32_t>(id))) return invalid("known-ids", "the id of a thread that lives");
      last = id;
    }
  }
  return {};
}

}  // namespace

Status validate_threads(const Image& image) {
  std::set<std::int32_t> all;
  for (const ProcessImage& section : image.processes) {
    if (section.process.state == ProcessState::Zombie) {
      all.insert(section.process.pid);
      continue;
    }
    if (section.threads.empty()) return invalid("threads", "there is none");
    const bool main_ended = section.process.state == ProcessState::MainEnded;
    if (!main_ended && section.threads[0].tid != section.process.pid) return invalid("thread 0", "not the main thread");
    if (main_ended && !all.insert(section.process.pid).second)
      return invalid("process", "its id is that of an earlier thread");
    std::set<std::int32_t> tids;
    for (std::size_t i = 0; i < section.threads.size(); ++i) {
      const Thread& thread = section.threads[i];
      const std::string subject = nth("thread", i) + " (" + std::to_string(thread.tid) + ")";
      if (thread.tid <= 0 || thread.tid >= static_cast<std::int32_t>(wire::kPidLimit))
        return invalid(subject, "no thread id");
      tids.insert(thread.tid);
      if (!all.insert(thread.tid).second) return invalid(subject, "the id of an earlier thread");
      STASIS_TRY(check_thread(thread, image.header.cpu.xcr0, subject));
    }
    STASIS_TRY(check_signals(section, tids));
    STASIS_TRY(check_timers(section, tids));
    STASIS_TRY(check_settings(section, tids));
  }
  return check_known_ids(image, all);
}

}  // namespace stasis::image
