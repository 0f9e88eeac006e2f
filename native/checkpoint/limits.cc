// Resource limits, oom score, coredump filter and personality, from /proc. prlimit(2) on a process of another user needs
// CAP_SYS_RESOURCE, which a root in a container may not have.
#include <charconv>

#include "checkpoint/settings.h"

namespace stasis::checkpoint {

namespace {

constexpr std::size_t kResources = 16;
constexpr std::size_t kNameWidth =
    26;  // columns of a limit's name in /proc/PID/limits (fs/proc/base.c, proc_pid_limits)

// "unlimited" or a number, from `at` on, which moves behind it.
std::uint64_t next_limit(std::string_view line, std::size_t& at) {
  at = line.find_first_not_of(' ', at);
  if (at == std::string_view::npos) return ~0ULL;
  std::uint64_t value = ~0ULL;
  std::from_chars(line.data() + at, line.data() + line.size(), value);
  at = std::min(line.find(' ', at), line.size());
  return value;
}

template <class Number>
Result<Number> read_number(pid_t pid, const char* name, int base) {
  const std::string text = STASIS_TRY(procfs::read_text(pid, name));
  Number value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

}  // namespace

Status record_limits(const Subject& subject, image::ProcessImage& section) {
  const std::string text = STASIS_TRY(procfs::read_text(subject.pid, "limits"));
  image::Limits limits;
  std::size_t at = text.find('\n');  // behind the heading; the lines are in the order of the numbers
  for (std::size_t resource = 0; resource < kResources && at != std::string::npos; ++resource) {
    const std::size_t end = std::min(text.find('\n', at + 1), text.size());
    const std::string_view line = std::string_view(text).substr(at + 1, end - at - 1);
    std::size_t column = kNameWidth;
    limits.limits[2 * resource] = next_limit(line, column);
    limits.limits[2 * resource + 1] = next_limit(line, column);
    at = end < text.size() ? end : std::string::npos;
  }
  limits.oom_score_adj = STASIS_TRY(read_number<std::int32_t>(subject.pid, "oom_score_adj", 10));
  // Without CONFIG_ELF_CORE there is none.
  const auto filter = read_number<std::uint64_t>(subject.pid, "coredump_filter", 16);
  if (filter.ok()) limits.coredump_filter = filter.value();
  limits.personality = STASIS_TRY(read_number<std::uint64_t>(subject.pid, "personality", 16));
  section.limits = {limits};
  return {};
}

}  // namespace stasis::checkpoint
