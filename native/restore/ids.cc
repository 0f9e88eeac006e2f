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

Result<int> parked_fd(const PlanBuilder& plan) {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return Error::of_errno("getrlimit", "asking for the limit of open files");
  std::set<int> used;
  for (const wire::FdPlacement& placement : plan.placements) used.insert(placement.fd);
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

Status plan_ids(const image::Image& image, const image::ProcessImage& section, const RestoreInputs& inputs,
                PlanBuilder& plan) {
  if (!inputs.keeps_ids) {
    plan.plan.version = wire::kPlanVersionWithoutIds;
    return {};
  }
  plan.plan.pid = section.process.pid;
  plan.plan.parent_pid = section.process.parent_pid;
  plan.plan.group_id = section.process.group_id;
  plan.plan.session_id = section.process.session_id;
  plan.plan.parked_fd = static_cast<std::uint32_t>(STASIS_TRY(parked_fd(plan)));
  for (const image::KnownIds& known : image.known_ids) {
    plan.known_ids.insert(plan.known_ids.end(), known.processes.begin(), known.processes.end());
  }
  return {};
}

}  // namespace stasis::restore
