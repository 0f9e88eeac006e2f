// The process, its layout and the host as records.
#include <sys/utsname.h>
#include <time.h>

#include <charconv>

#include "checkpoint/records.h"
#include "image/cpu.h"
#include "wire/layout.h"

namespace stasis::checkpoint {

namespace {

// Fields of /proc/PID/stat, proc(5).
enum StatField {
  kParent = 4,
  kGroup = 5,
  kSession = 6,
  kStartCode = 26,
  kEndCode = 27,
  kStartStack = 28,
  kStartData = 45,
  kEndData = 46,
  kStartBreak = 47,
  kArgStart = 48,
  kArgEnd = 49,
  kEnvStart = 50,
  kEnvEnd = 51
};

std::int64_t realtime_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

std::vector<std::string> split_at_zeros(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\0', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

}  // namespace

Status record_process(const Subject& subject, const tracer::ProcessState& state, const procfs::Fields& status,
                      image::Image& image, image::ProcessImage& section) {
  const procfs::Stat stat = STASIS_TRY(procfs::read_stat_with_memory(subject.pid));
  image::Process& process = section.process;
  process.pid = subject.pid;
  process.parent_pid = static_cast<std::int32_t>(stat.field[kParent]);
  process.group_id = static_cast<std::int32_t>(stat.field[kGroup]);
  process.session_id = static_cast<std::int32_t>(stat.field[kSession]);
  process.exe_path = state.runtime.exe_path;
  process.cwd = STASIS_TRY(procfs::read_link(subject.pid, "cwd"));
  process.umask = static_cast<std::uint32_t>(status.number("Umask", 8));
  process.arguments = split_at_zeros(STASIS_TRY(procfs::read_text(subject.pid, "cmdline")));

  image::MemoryLayout& memory = section.memory;
  memory.start_code = stat.field[kStartCode];
  memory.end_code = stat.field[kEndCode];
  memory.start_data = stat.field[kStartData];
  memory.end_data = stat.field[kEndData];
  memory.start_brk = stat.field[kStartBreak];
  memory.brk = state.program_break;
  memory.start_stack = stat.field[kStartStack];
  memory.arg_start = stat.field[kArgStart];
  memory.arg_end = stat.field[kArgEnd];
  memory.env_start = stat.field[kEnvStart];
  memory.env_end = stat.field[kEnvEnd];
  const std::string auxv = STASIS_TRY(procfs::read_text(subject.pid, "auxv"));
  memory.auxv.assign(auxv.begin(), auxv.end());

  image.clock.monotonic_ns = state.monotonic_ns;
  image.clock.boottime_ns = state.boottime_ns;
  image.clock.realtime_ns = realtime_ns();

  image.runtime.build_id = subject.runtime_build_id;
  image.runtime.descriptor_version = subject.runtime.version;
  image.runtime.vdso_address = wire::kOwnVdsoAddress;
  image.header.runtime_build_id = image.runtime.build_id;
  image.header.created_ns = image.clock.realtime_ns;
  image.header.creator = subject.options.creator_version;
  image.header.cpu = image::cpu_features_of_this_host();
  utsname host{};
  if (::uname(&host) == 0) image.header.kernel_release = host.release;
  return {};
}

}  // namespace stasis::checkpoint
