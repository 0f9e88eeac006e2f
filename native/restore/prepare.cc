#include "restore/prepare.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "os/file.h"
#include "restore/builders.h"
#include "restore/working_set.h"

namespace stasis::restore {

namespace {

// Until kernel 6.3 the flag is not known; since then a memfd without it is executable, which vm.memfd_noexec may forbid
// (memfd_create(2)).
constexpr unsigned kNoexecSeal = 8;  // MFD_NOEXEC_SEAL

Status check_fd_limit(const PlanBuilder& plan) {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return Error::of_errno("getrlimit", "asking for the limit of open files");
  if (limit.rlim_max > plan.highest_fd_needed()) return {};
  return Error::plain(ErrorKind::Failed,
                      "the restore needs file descriptors up to " + std::to_string(plan.highest_fd_needed()) +
                          ", and the limit is " + std::to_string(limit.rlim_max),
                      "raise the hard limit of open files (ulimit -Hn)");
}

std::vector<std::string> files_of(const image::Image& image, const RestoreInputs& inputs) {
  std::vector<std::string> files{inputs.runtime_path};
  for (const PageFileLocation& file : inputs.page_files) files.push_back(file.path);
  for (const image::ProcessImage& section : image.processes) {
    for (const image::Mapping& mapping : section.mappings) {
      if (!mapping.path.empty() && files.back() != mapping.path) files.push_back(mapping.path);
    }
  }
  for (const image::OpenFile& file : image.open_files) files.push_back(file.path);
  return files;
}

}  // namespace

Result<PreparedRestore> prepare(const image::Image& image, const RestoreInputs& inputs) {
  PreparedRestore prepared;
  PlanBuilder plan;
  STASIS_TRY(check_compatibility(image, inputs));
  if (image.processes.size() > 1) {
    return Error::plain(ErrorKind::Unsupported,
                        "the image holds " + std::to_string(image.processes.size()) + " processes, not one");
  }
  const image::ProcessImage& section = image.first();
  plan.use_descriptors(section.descriptors);
  STASIS_TRY(plan_memory(image, section, inputs, plan, prepared));
  plan_working_set(inputs.working_set, plan);
  STASIS_TRY(plan_files(image, section, plan));
  STASIS_TRY(plan_pipes(image, plan));
  STASIS_TRY(plan_sockets(image, plan));
  STASIS_TRY(plan_eventfds(image, plan));
  STASIS_TRY(plan_timerfds(image, plan));
  STASIS_TRY(plan_epolls(image, section, plan));
  STASIS_TRY(plan_ids(image, section, inputs, plan));
  STASIS_TRY(plan_threads(image, section, plan));
  STASIS_TRY(plan_signals(image, section, plan));
  STASIS_TRY(plan_timers(section, plan));
  STASIS_TRY(plan_settings(section, plan));
  STASIS_TRY(check_fd_limit(plan));
  plan.plan.runtime_path = plan.add_string(inputs.runtime_path);
  plan.plan.exe_path = plan.add_string(section.process.exe_path);
  prepared.runtime_path = inputs.runtime_path;
  prepared.files = files_of(image, inputs);
  prepared.warnings = plan.warnings;
  prepared.fds = plan.placements.size();
  prepared.threads = plan.threads.size();
  prepared.plan = STASIS_TRY(plan.finish());
  return prepared;
}

Result<UniqueFd> seal_plan(std::span<const std::uint8_t> plan) {
  int raw = ::memfd_create("stasis-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoexecSeal);
  if (raw < 0 && errno == EINVAL) raw = ::memfd_create("stasis-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (raw < 0) return Error::of_errno("memfd_create", "making the restore plan");
  UniqueFd fd(raw);
  STASIS_TRY(write_at(fd.get(), plan, 0, "the restore plan"));
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
    return Error::of_errno("fcntl", "sealing the restore plan");
  }
  return fd;
}

}  // namespace stasis::restore
