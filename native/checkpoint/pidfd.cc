// pidfds, from fdinfo: `Pid:` is -1 once the process has ended and was waited for. One that stands for a process outside cannot
// be made again.
#include <algorithm>
#include <charconv>

#include "checkpoint/fds.h"

namespace stasis::checkpoint {

namespace {

std::int32_t pid_of(const Fd& fd) {
  const std::string_view text = fd.info.find("Pid");
  std::int32_t pid = -1;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  return pid;
}

bool is_member(const Objects& objects, std::int32_t pid) {
  const auto is_it = [pid](const Subject* member) { return member->pid == pid; };
  if (std::any_of(objects.members().begin(), objects.members().end(), is_it)) return true;
  // A child that has ended and was not waited for.
  const auto stat = procfs::read_stat(pid);
  if (!stat.ok() || stat.value().state != 'Z') return false;
  const auto parent = static_cast<std::int32_t>(stat.value().field[4]);
  return std::any_of(objects.members().begin(), objects.members().end(),
                     [parent](const Subject* member) { return member->pid == parent; });
}

}  // namespace

Status save_pidfds(Objects& objects, image::Image& image, Findings& findings) {
  for (Description& description : objects.descriptions) {
    const Fd& fd = description.first();
    if (description.saved || !fd.link_starts("anon_inode:[pidfd]")) continue;
    description.saved = true;
    const std::int32_t pid = pid_of(fd);
    if (pid > 0 && !is_member(objects, pid)) {
      // A child that was born after the members were listed is no stranger for long.
      findings.add_passing(fd.where(),
                           "a pidfd of process " + std::to_string(pid) + ", which is not of the application",
                           "close it, or start that process with the application");
      continue;
    }
    image::Pidfd record;
    record.object = objects.next();
    description.becomes(record.object);
    record.flags = fd.flags;
    record.pid = std::max(pid, 0);
    if (const auto& ids = objects.first_member().ids; ids.has_value() && pid > 0) {
      record.pid = static_cast<std::int32_t>(STASIS_TRY(ids->virtual_process(static_cast<std::uint32_t>(pid))));
    }
    image.pidfds.push_back(record);
  }
  return {};
}

}  // namespace stasis::checkpoint
