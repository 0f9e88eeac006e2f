// signalfds, from fdinfo. What waits in them are the process's pending signals.
#include "checkpoint/fds.h"

namespace stasis::checkpoint {

Status save_signalfds(Objects& objects, image::Image& image, Findings&) {
  for (Description& description : objects.descriptions) {
    const Fd& fd = description.first();
    if (description.saved || !fd.link_starts("anon_inode:[signalfd]")) continue;
    description.saved = true;
    image::Signalfd record;
    record.object = objects.next();
    description.becomes(record.object);
    record.flags = fd.flags;
    record.mask = fd.info.number("sigmask", 16);
    image.signalfds.push_back(record);
  }
  return {};
}

}  // namespace stasis::checkpoint
