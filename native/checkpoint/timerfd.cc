// timerfd timers, from fdinfo: it_value there is the time that is left, for absolute timers too (fs/timerfd.c, timerfd_show).
#include <cstdio>

#include "checkpoint/fds.h"

namespace stasis::checkpoint {

namespace {

// "(seconds, nanoseconds)"
std::int64_t parse_time(std::string_view text) {
  long long seconds = 0, nanoseconds = 0;
  if (std::sscanf(std::string(text).c_str(), "(%lld, %lld)", &seconds, &nanoseconds) != 2) return 0;
  return seconds * 1'000'000'000LL + nanoseconds;
}

}  // namespace

Status save_timerfds(const Subject&, FdTable& table, image::Image& image, Findings&) {
  for (Description& description : table.descriptions) {
    const Fd& fd = description.first();
    if (description.saved || !fd.link_starts("anon_inode:[timerfd]")) continue;
    description.saved = true;
    image::Timerfd record;
    record.numbers = description.numbers();
    record.clock_id = static_cast<std::uint32_t>(fd.info.number("clockid"));
    record.flags = fd.flags;
    record.settime_flags = static_cast<std::uint32_t>(fd.info.number("settime flags", 8));
    record.ticks = fd.info.number("ticks");
    record.interval_ns = parse_time(fd.info.find("it_interval"));
    record.remaining_ns = parse_time(fd.info.find("it_value"));
    image.timerfds.push_back(std::move(record));
  }
  return {};
}

}  // namespace stasis::checkpoint
