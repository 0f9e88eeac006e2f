// How each thread is scheduled. All of it can be asked from outside by the thread's id but for the timer slack, which
// tracer/threads.h has.
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "checkpoint/settings.h"

namespace stasis::checkpoint {

namespace {

constexpr int kIoprioProcess = 1;  // IOPRIO_WHO_PROCESS

struct KernelSchedAttributes {  // struct sched_attr, first version (sched_setattr(2))
  std::uint32_t size, policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime, deadline, period;
};
static_assert(sizeof(KernelSchedAttributes) == 48);

// Nothing for a thread that may use every processor there is, as it may on another host then.
std::vector<std::uint8_t> narrowed(std::vector<std::uint8_t> mask) {
  const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
  long allowed = 0;
  for (const std::uint8_t bits : mask) allowed += __builtin_popcount(bits);
  if (online > 0 && allowed >= online) return {};
  return mask;
}

Result<image::Scheduling> scheduling_of(pid_t tid) {
  image::Scheduling record;
  record.tid = tid;
  KernelSchedAttributes attributes{};
  if (::syscall(SYS_sched_getattr, tid, &attributes, sizeof attributes, 0) != 0) {
    return Error::of_errno("sched_getattr", "reading how a thread is scheduled").with_tid(tid);
  }
  record.policy = attributes.policy;
  record.flags = attributes.flags & 1;  // SCHED_FLAG_RESET_ON_FORK
  record.priority = attributes.priority;
  record.deadline = {attributes.runtime, attributes.deadline, attributes.period};
  errno = 0;
  record.nice = ::getpriority(PRIO_PROCESS, static_cast<id_t>(tid));
  if (errno != 0) return Error::of_errno("getpriority", "reading a thread's niceness").with_tid(tid);
  std::array<std::uint8_t, 1024> mask{};
  const long bytes = ::syscall(SYS_sched_getaffinity, tid, mask.size(), mask.data());
  if (bytes < 0) return Error::of_errno("sched_getaffinity", "reading a thread's processors").with_tid(tid);
  record.affinity = narrowed({mask.begin(), mask.begin() + bytes});
  const long io_priority = ::syscall(SYS_ioprio_get, kIoprioProcess, tid);
  if (io_priority >= 0) record.io_priority = static_cast<std::uint32_t>(io_priority);  // CONFIG_BLOCK
  return record;
}

}  // namespace

Status record_scheduling(const tracer::ProcessState& state, const Settings& settings, image::ProcessImage& section) {
  for (const tracer::ThreadState& thread : state.threads) {
    image::Scheduling record = STASIS_TRY(scheduling_of(thread.tid));
    const auto slack = settings.timer_slack_ns.find(thread.tid);
    if (slack != settings.timer_slack_ns.end()) record.timer_slack_ns = slack->second;
    section.scheduling.push_back(std::move(record));
  }
  return {};
}

}  // namespace stasis::checkpoint
