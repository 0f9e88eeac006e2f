// eventfd counters, from fdinfo.
#include "checkpoint/fds.h"

namespace stasis::checkpoint {

Status save_eventfds(Objects& objects, image::Image& image, Findings&) {
  for (Description& description : objects.descriptions) {
    const Fd& fd = description.first();
    if (description.saved || !fd.link_starts("anon_inode:[eventfd]")) continue;
    description.saved = true;
    image::Eventfd record;
    record.object = objects.next();
    description.becomes(record.object);
    record.count = fd.info.number("eventfd-count", 16);
    // Shown since kernel 6.5. Before, nothing but reading the counter would tell, and a program that reads at that
    // moment would miss it.
    record.semaphore = fd.info.number("eventfd-semaphore") != 0;
    record.flags = fd.flags;
    image.eventfds.push_back(std::move(record));
  }
  return {};
}

}  // namespace stasis::checkpoint
