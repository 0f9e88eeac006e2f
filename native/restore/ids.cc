// Ids: those the program knows, which it keeps, and the number at which its processes hold the translation table.
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "restore/builders.h"

namespace stasis::restore {

namespace {

// Where a first launch has it, too (runtime/ids.cc): below the usual soft limit and clear of what a program opens.
constexpr int kPreferredFd = 1023;
constexpr int kFirstFd = 3;

Result<int> parked_fd(const std::vector<PlanBuilder>& plans) {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return Error::of_errno("getrlimit", "asking for the limit of open files");
  std::set<int> used;
  for (const PlanBuilder& plan : plans) {
    for (const wire::FdPlacement& placement : plan.placements) used.insert(placement.fd);
    for (const wire::PidfdEntry& pidfd : plan.pidfds) used.insert(pidfd.fd);
  }
  const int most = static_cast<int>(std::min<rlim_t>(limit.rlim_max, 1 << 20)) - 1;
  for (int fd = std::min(kPreferredFd, most); fd >= kFirstFd; --fd) {
    if (!used.contains(fd)) return fd;
  }
  for (int fd = kPreferredFd + 1; fd <= most; ++fd) {
    if (!used.contains(fd)) return fd;
  }
  return Error::plain(ErrorKind::Failed, "no file descriptor is left for the table of ids",
                      "raise the hard limit of open files (ulimit -Hn)");
}

}  // namespace

Status plan_ids(const image::Image& image, const std::vector<PlanBuilder>& plans, GroupBuilder& group) {
  group.group.parked_fd = static_cast<std::uint32_t>(STASIS_TRY(parked_fd(plans)));
  group.group.monotonic_ns = image.clock.monotonic_ns;
  group.group.boottime_ns = image.clock.boottime_ns;
  std::set<std::uint32_t> known;
  for (const image::KnownIds& ids : image.known_ids) known.insert(ids.processes.begin(), ids.processes.end());
  for (const image::ProcessImage& section : image.processes) {
    const image::Process& process = section.process;
    for (const std::int32_t id : {process.pid, process.parent_pid, process.group_id, process.session_id}) {
      if (id > 1) known.insert(static_cast<std::uint32_t>(id));
    }
    for (const image::Thread& thread : section.threads) known.insert(static_cast<std::uint32_t>(thread.tid));
  }
  group.known_ids.assign(known.begin(), known.end());
  return {};
}

}  // namespace stasis::restore
