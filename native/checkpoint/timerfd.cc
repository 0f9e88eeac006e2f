// timerfd timers, from fdinfo: it_value there is the time that is left, for absolute timers too (fs/timerfd.c,
// timerfd_show).
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdio>

#include "checkpoint/fds.h"
#include "os/pidfd.h"
#include "os/procfs.h"

namespace stasis::checkpoint {

namespace {

// "(seconds, nanoseconds)"
std::int64_t parse_time(std::string_view text) {
  long long seconds = 0, nanoseconds = 0;
  if (std::sscanf(std::string(text).c_str(), "(%lld, %lld)", &seconds, &nanoseconds) != 2) return 0;
  return seconds * 1'000'000'000LL + nanoseconds;
}

// The timer as it stands now. The kernel counts the periods that have passed only when it is asked for the time or the
// fd is read, which is what fdinfo does not do; asking changes nothing that the program can tell.
Result<procfs::Fields> brought_up_to_date(const Fd& fd) {
  const auto timer = STASIS_TRY(fd.duplicate());
  itimerspec setting;
  if (::timerfd_gettime(timer.get(), &setting) != 0) {
    return Error::of_errno("timerfd_gettime", "reading a timer").with_pid(fd.owner->pid).with_fd(fd.number);
  }
  return procfs::Fields(STASIS_TRY(procfs::read_text(::getpid(), "fdinfo/" + std::to_string(timer.get()))));
}

}  // namespace

Status save_timerfds(Objects& objects, image::Image& image, Findings&) {
  for (Description& description : objects.descriptions) {
    const Fd& fd = description.first();
    if (description.saved || !fd.link_starts("anon_inode:[timerfd]")) continue;
    description.saved = true;
    if (objects.phase() == Phase::Before) continue;
    const procfs::Fields info = STASIS_TRY(brought_up_to_date(fd));
    image::Timerfd record;
    record.object = objects.next();
    description.becomes(record.object);
    record.clock_id = static_cast<std::uint32_t>(info.number("clockid"));
    record.flags = fd.flags;
    record.settime_flags = static_cast<std::uint32_t>(info.number("settime flags", 8));
    record.ticks = info.number("ticks");
    record.interval_ns = parse_time(info.find("it_interval"));
    record.remaining_ns = parse_time(info.find("it_value"));
    image.timerfds.push_back(std::move(record));
  }
  return {};
}

}  // namespace stasis::checkpoint
