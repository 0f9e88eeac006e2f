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

Status check_fd_limit(const GroupBuilder& group, const std::vector<PlanBuilder>& plans) {
  const std::uint64_t needed = highest_fd_needed(group, plans);
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return Error::of_errno("getrlimit", "asking for the limit of open files");
  if (limit.rlim_max > needed) return {};
  return Error::plain(ErrorKind::Failed,
                      "the restore needs file descriptors up to " + std::to_string(needed) + ", and the limit is " +
                          std::to_string(limit.rlim_max),
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
  for (const image::OpenFile& file : image.open_files) {
    if (file.memory == 0) files.push_back(file.path);
  }
  return files;
}

}  // namespace

namespace {

Status plan_objects(const image::Image& image, const RestoreInputs& inputs, GroupBuilder& group) {
  use_in_flight(image, group);
  STASIS_TRY(plan_shared_memory(image, inputs, group));
  STASIS_TRY(plan_files(image, inputs, group));
  STASIS_TRY(plan_system_v(image, inputs, group));
  STASIS_TRY(plan_signalfds(image, group));
  STASIS_TRY(plan_terminals(image, group));
  STASIS_TRY(plan_posix_queues(image, group));
  STASIS_TRY(plan_pipes(image, group));
  STASIS_TRY(plan_sockets(image, inputs, group));
  STASIS_TRY(plan_eventfds(image, group));
  STASIS_TRY(plan_timerfds(image, group));
  STASIS_TRY(plan_inotifies(image, group));
  STASIS_TRY(plan_epolls(image, group));
  plan_queues(image, group);
  return {};
}

Status plan_process(const image::Image& image, const image::ProcessImage& section, const RestoreInputs& inputs,
                    const GroupBuilder& group, MappedFiles& mapped_files, PlanBuilder& plan,
                    PreparedRestore& prepared) {
  STASIS_TRY(plan_memory(image, section, inputs, group, mapped_files, plan, prepared));
  STASIS_TRY(plan_directory(section, plan));
  place_descriptors(section.descriptors, group, plan);
  plan_locks(image, section, plan);
  STASIS_TRY(plan_threads(image, section, plan));
  STASIS_TRY(plan_signals(section, plan));
  STASIS_TRY(plan_own_events(image, section, plan));
  plan_own_ipc(image, section, plan);
  plan_controlling_terminal(section, group, plan);
  STASIS_TRY(plan_timers(section, plan));
  STASIS_TRY(plan_settings(section, plan));
  plan.plan.exe_path = plan.add_string(section.process.exe_path);
  return {};
}

// What only a runtime of one process finds in its plan.
Status plan_single(const image::Image& image, const RestoreInputs& inputs, PlanBuilder& plan) {
  if (image.processes.size() > 1) {
    return Error::plain(ErrorKind::Incompatible,
                        "the image holds several processes, and its runtime rebuilds only one");
  }
  plan.plan.version = inputs.plan_version;
  if (inputs.plan_version == wire::kPlanVersionWithoutIds) return {};
  const image::Process& process = image.first().process;
  plan.plan.pid = process.pid;
  plan.plan.parent_pid = process.parent_pid;
  plan.plan.group_id = process.group_id;
  plan.plan.session_id = process.session_id;
  return {};
}

}  // namespace

Result<PreparedRestore> prepare(const image::Image& image, const RestoreInputs& inputs) {
  PreparedRestore prepared;
  STASIS_TRY(check_compatibility(image, inputs));
  const bool single = inputs.plan_version < wire::kPlanVersion;
  std::vector<PlanBuilder> plans(image.processes.size());
  GroupBuilder group = single ? GroupBuilder(plans.front()) : GroupBuilder();
  for (const image::ProcessImage& section : image.processes) group.use_descriptors(section.descriptors);
  STASIS_TRY(plan_objects(image, inputs, group));
  MappedFiles mapped_files(inputs.settled_files, inputs.missing_files);  // the processes of a tree share most of them
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (image.processes[i].process.state == image::ProcessState::Zombie) continue;
    STASIS_TRY(plan_process(image, image.processes[i], inputs, group, mapped_files, plans[i], prepared));
  }
  plan_working_set(inputs.working_set, plans.front());
  STASIS_TRY(plan_ids(image, plans, group));
  STASIS_TRY(plan_tree(image, group));
  STASIS_TRY(check_fd_limit(group, plans));
  group.group.runtime_path = group.add_string(inputs.runtime_path);
  prepared.runtime_path = inputs.runtime_path;
  prepared.files = files_of(image, inputs);
  for (const PlanBuilder& plan : plans) {
    prepared.fds += plan.placements.size();
    prepared.threads += plan.threads.size();
    prepared.warnings.insert(prepared.warnings.end(), plan.warnings.begin(), plan.warnings.end());
  }
  if (single) STASIS_TRY(plan_single(image, inputs, plans.front()));
  prepared.plan = single ? STASIS_TRY(finish_single(group, plans.front())) : STASIS_TRY(finish_plans(group, plans));
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
