// epoll instances and what they watch, from fdinfo.
//
// A registration belongs to a number and an open file description, which kcmp(2) with KCMP_EPOLL_TFD finds among those of all
// members. One that no member has is refused: it lives on in a process outside or in a queue.
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <set>

#include "checkpoint/fds.h"
#include "os/procfs.h"

namespace stasis::checkpoint {

namespace {

// Whether the epoll instance's first registration under `number` is for what `target` is.
bool watches(const Fd& epoll, int number, const Fd& target) {
  kcmp_epoll_slot slot{static_cast<__u32>(epoll.number), static_cast<__u32>(number), 0};
  return ::syscall(SYS_kcmp, procfs::stand_in_of(target.owner->pid), procfs::stand_in_of(epoll.owner->pid),
                   KCMP_EPOLL_TFD, target.number, &slot) == 0;
}

// What was registered as `number`: the process that did may be another than those that have the instance now, and may have
// closed that number while another one keeps the file open.
const Fd* find_target(const Objects& objects, const Fd& epoll, int number) {
  const Fd* same_number = nullptr;
  for (const Description& description : objects.descriptions) {
    for (const Fd& fd : description.fds) {
      if (fd.number != number) continue;
      // Changes between two looks at a running program mean nothing.
      if (objects.phase() == Phase::Before || watches(epoll, number, fd)) same_number = &fd;
    }
  }
  if (same_number != nullptr || objects.phase() == Phase::Before) return same_number;
  for (const Description& description : objects.descriptions) {
    if (watches(epoll, number, description.first())) return &description.first();
  }
  return nullptr;
}

}  // namespace

Status save_epolls(Objects& objects, image::Image& image, Findings& findings) {
  std::vector<Description*> epolls;
  for (Description& description : objects.descriptions) {
    if (description.saved || !description.first().link_starts("anon_inode:[eventpoll]")) continue;
    description.saved = true;
    description.becomes(objects.next());
    epolls.push_back(&description);
  }
  for (const Description* description : epolls) {
    const Fd& fd = description->first();
    image::Epoll record;
    record.object = fd.object;
    record.flags = fd.flags;
    std::set<int> seen;  // kcmp is asked about the first registration under a number; a second one is for another file
    const std::string& text = fd.info.text();
    for (std::size_t at = text.find("tfd:"); at != std::string::npos; at = text.find("tfd:", at + 1)) {
      int number = -1;
      unsigned events = 0;
      unsigned long long data = 0;
      if (std::sscanf(text.c_str() + at, "tfd: %d events: %x data: %llx", &number, &events, &data) != 3) {
        return Error::plain(ErrorKind::Failed, "understanding what an epoll instance watches").with_fd(fd.number);
      }
      const Fd* target = seen.insert(number).second ? find_target(objects, fd, number) : nullptr;
      if (target != nullptr) {
        record.targets.push_back({number, events, data, target->object, target->end});
      } else if (objects.phase() == Phase::Stopped) {
        findings.add(fd.where(),
                     "an epoll instance that watches a file under fd " + std::to_string(number) +
                         ", which no process of the application has open any more",
                     "remove files from epoll before closing them");
      }
    }
    image.epolls.push_back(std::move(record));
  }
  return {};
}

}  // namespace stasis::checkpoint
