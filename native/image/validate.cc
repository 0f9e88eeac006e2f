// Semantic checks: what the plan for a restore, and the runtime that follows it blindly, take for granted. An image is
// hostile input until it has passed.
#include "image/validate.h"

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

Status check_process(const Image& image) {
  const Runtime& runtime = image.runtime;
  if (runtime.build_id.empty() || !is_lowercase_hex(runtime.build_id))
    return invalid("runtime", "the build id is not hex");
  if (runtime.build_id != image.header.runtime_build_id) return invalid("runtime", "the build id is not the header's");
  if (runtime.vdso_address < wire::kWindowBase || runtime.vdso_address >= wire::kWindowEnd ||
      !is_page_aligned(runtime.vdso_address)) {
    return invalid("runtime", "the vdso page is not in the runtime's window");
  }
  const Process& process = image.process;
  if (process.pid <= 0) return invalid("process", "no process id");
  for (const std::int32_t id : {process.pid, process.parent_pid, process.group_id, process.session_id}) {
    if (id < 0 || id >= static_cast<std::int32_t>(wire::kPidLimit)) return invalid("process", "an id out of range");
  }
  if (!is_absolute_path(process.exe_path)) return invalid("process", "exe_path is no absolute path");
  if (!is_absolute_path(process.cwd)) return invalid("process", "cwd is no absolute path");
  if (process.umask > 0777) return invalid("process", "no such umask");
  const Clock& clock = image.clock;
  if (clock.monotonic_ns < 0 || clock.boottime_ns < 0) return invalid("clock", "a negative time");
  for (std::size_t i = 0; i < image.itimers.values.size(); ++i) {
    const std::int64_t value = image.itimers.values[i];
    if (value < 0 || (i % 2 == 1 && value >= 1'000'000))
      return invalid("itimers", "value " + std::to_string(i) + " is no time");
  }
  return {};
}

}  // namespace

Status validate(const Image& image) {
  STASIS_TRY(check_process(image));
  STASIS_TRY(validate_memory(image));
  STASIS_TRY(validate_threads(image));
  return validate_fds(image);
}

}  // namespace stasis::image
