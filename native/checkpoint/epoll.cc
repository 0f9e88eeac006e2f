// epoll instances and what they watch, from fdinfo.
//
// A registration belongs to a number and an open file description. If that number was closed while a duplicate kept the
// description alive, the registration goes on but cannot be made again by number: refused. kcmp(2) with KCMP_EPOLL_TFD
// tells.
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <set>

#include "checkpoint/fds.h"

namespace stasis::checkpoint {

namespace {

// Whether the epoll instance's first registration under `target` is for what `target` is now.
bool watches(pid_t pid, int epoll, int target) {
  kcmp_epoll_slot slot{static_cast<__u32>(epoll), static_cast<__u32>(target), 0};
  return ::syscall(SYS_kcmp, pid, pid, KCMP_EPOLL_TFD, target, &slot) == 0;
}

}  // namespace

Status save_epolls(const Subject& subject, FdTable& table, image::Image& image, Findings& findings) {
  for (Description& description : table.descriptions) {
    const Fd& fd = description.first();
    if (description.saved || !fd.link_starts("anon_inode:[eventpoll]")) continue;
    description.saved = true;
    image::Epoll record;
    record.numbers = description.numbers();
    record.flags = fd.flags;
    std::set<int> seen;  // a second registration under a number is for a file that is gone from it
    const std::string& text = fd.info.text();
    for (std::size_t at = text.find("tfd:"); at != std::string::npos; at = text.find("tfd:", at + 1)) {
      int target = -1;
      unsigned events = 0;
      unsigned long long data = 0;
      if (std::sscanf(text.c_str() + at, "tfd: %d events: %x data: %llx", &target, &events, &data) != 3) {
        return Error::plain(ErrorKind::Failed, "understanding what an epoll instance watches").with_fd(fd.number);
      }
      // Changes between two looks at a running program mean nothing.
      if (subject.phase == Phase::Stopped &&
          (!seen.insert(target).second || !watches(subject.pid, fd.number, target))) {
        findings.add(subject.where(fd.number),
                     "an epoll instance that watches a file under fd " + std::to_string(target) +
                         ", which is not that file any more",
                     "remove files from epoll before closing them");
        continue;
      }
      record.targets.push_back({target, events, data});
    }
    image.epolls.push_back(std::move(record));
  }
  return {};
}

}  // namespace stasis::checkpoint
