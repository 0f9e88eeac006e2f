// Semantic checks: what the plan for a restore, and the runtime that follows it blindly, take for granted. An image is
// hostile input until it has passed.
#include "image/validate.h"

#include <set>

#include "wire/descriptor.h"
#include "wire/ids.h"

namespace stasis::image {

Error invalid(const std::string& subject, const std::string& problem) {
  return Error::plain(ErrorKind::Damaged, "checking the image: " + subject + ": " + problem);
}

bool is_absolute_path(const std::string& path) {
  return !path.empty() && path[0] == '/' && path.size() < wire::kMaxExePath && path.find('\0') == std::string::npos;
}

bool is_lowercase_hex(const std::string& text) {
  return text.size() % 2 == 0 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

namespace {

constexpr std::size_t kMaxProcesses = 4096;
constexpr std::size_t kCommBytes = 15;  // of TASK_COMM_LEN 16 with its zero

Status check_runtime(const Image& image) {
  const Runtime& runtime = image.runtime;
  if (runtime.build_id.empty() || !is_lowercase_hex(runtime.build_id))
    return invalid("runtime", "the build id is not hex");
  if (runtime.build_id != image.header.runtime_build_id) return invalid("runtime", "the build id is not the header's");
  if (runtime.vdso_address < wire::kWindowBase || runtime.vdso_address >= wire::kWindowEnd ||
      !is_page_aligned(runtime.vdso_address)) {
    return invalid("runtime", "the vdso page is not in the runtime's window");
  }
  const Clock& clock = image.clock;
  if (clock.monotonic_ns < 0 || clock.boottime_ns < 0) return invalid("clock", "a negative time");
  return {};
}

Status check_process(const ProcessImage& section, const std::string& subject) {
  const Process& process = section.process;
  if (process.pid <= 0) return invalid(subject, "no process id");
  for (const std::int32_t id : {process.pid, process.parent_pid, process.group_id, process.session_id}) {
    if (id < 0 || id >= static_cast<std::int32_t>(wire::kPidLimit)) return invalid(subject, "an id out of range");
  }
  if (process.state < ProcessState::Running || process.state > ProcessState::MainEnded)
    return invalid(subject, "no such state");
  if (process.exit_signal < 0 || process.exit_signal > 64 || process.parent_death_signal > 64 ||
      process.stop_signal > 64)
    return invalid(subject, "no such signal");
  if (process.name.size() > kCommBytes) return invalid(subject, "no possible name");
  if (process.state == ProcessState::Zombie) return {};
  if (!is_absolute_path(process.exe_path)) return invalid(subject, "exe_path is no absolute path");
  if (!is_absolute_path(process.cwd)) return invalid(subject, "cwd is no absolute path");
  if (!is_absolute_path(process.root)) return invalid(subject, "root is no absolute path");
  if (process.umask > 0777) return invalid(subject, "no such umask");
  for (std::size_t i = 0; i < section.itimers.values.size(); ++i) {
    const std::int64_t value = section.itimers.values[i];
    if (value < 0 || (i % 2 == 1 && value >= 1'000'000))
      return invalid("itimers", "value " + std::to_string(i) + " is no time");
  }
  return {};
}

}  // namespace

// What a restore forks goes by this order: every process stands behind its parent, and all but the first have one, or are orphans.
Status validate_tree(const Image& image) {
  if (image.processes.empty()) return invalid("process", "there is none");
  if (image.processes.size() > kMaxProcesses) return invalid("processes", "more than " + std::to_string(kMaxProcesses));
  std::set<std::int32_t> pids;
  for (std::size_t i = 0; i < image.processes.size(); ++i) {
    const ProcessImage& section = image.processes[i];
    const Process& process = section.process;
    const std::string subject = image.processes.size() == 1 ? "process" : nth("process", i);
    STASIS_TRY(check_process(section, subject));
    if (!pids.insert(process.pid).second) return invalid(subject, "the id of an earlier process");
    if (i == 0 && (process.state == ProcessState::Zombie || process.orphan))
      return invalid(subject, "the first process has ended or has lost its parent");
    if (i > 0 && !process.orphan && (process.parent_pid == process.pid || !pids.contains(process.parent_pid)))
      return invalid(subject, "no process before it is its parent");
  }
  return {};
}

Status validate(const Image& image) {
  STASIS_TRY(check_runtime(image));
  STASIS_TRY(validate_tree(image));
  const Objects objects = STASIS_TRY(validate_objects(image));
  STASIS_TRY(validate_memory(image, objects));
  STASIS_TRY(validate_threads(image));
  return validate_descriptors(image, objects);
}

}  // namespace stasis::image
