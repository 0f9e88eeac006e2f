#include "checkpoint/fds.h"

#include <algorithm>
#include <map>

#include "checkpoint/sockets.h"

namespace stasis::checkpoint {

namespace {

// What the link text of something that cannot be saved says, in words.
struct Kind {
  const char* prefix;
  const char* what;
  const char* remedy;
};
constexpr Kind kUnsupported[] = {
    {"anon_inode:[fanotify]", "a fanotify group", "close it before the checkpoint"},
    {"anon_inode:[signalfd]", "a signalfd", "close it before the checkpoint"},
    {"anon_inode:[io_uring]", "an io_uring instance", "start the program without io_uring"},
    {"anon_inode:[userfaultfd]", "a userfaultfd", "close it before the checkpoint"},
    {"anon_inode:[perf_event]", "a perf event", "detach the profiler"},
    {"anon_inode:bpf", "a BPF object", "close it before the checkpoint"},
    {"anon_inode:[pidfd]", "a handle on a process (pidfd)", "close it before the checkpoint"},
    {"pidfd:", "a handle on a process (pidfd)", "close it before the checkpoint"},
    {"anon_inode:seccomp notify", "a seccomp listener", "close it before the checkpoint"},
    {"net:", "a handle on a namespace", "close it before the checkpoint"},
    {"mnt:", "a handle on a namespace", "close it before the checkpoint"},
};

// What nothing has taken.
void refuse_rest(const Objects& objects, Findings& findings) {
  for (const Description& description : objects.descriptions) {
    const Fd& fd = description.first();
    if (description.saved) continue;
    const auto kind = std::find_if(std::begin(kUnsupported), std::end(kUnsupported),
                                   [&](const Kind& k) { return fd.link_starts(k.prefix); });
    if (kind != std::end(kUnsupported)) {
      findings.add(fd.where(), kind->what, kind->remedy);
    } else {
      findings.add(fd.where(), "a kind of file that is not known: " + fd.link, "close it before the checkpoint");
    }
  }
}

void list_descriptors(Objects& objects, image::Image& image) {
  std::map<const Subject*, std::vector<image::Descriptor>> lists;
  for (const Description& description : objects.descriptions) {
    for (const Fd& fd : description.fds) {
      if (fd.object != 0) lists[fd.owner].push_back({fd.number, fd.object, fd.end, fd.close_on_exec});
    }
  }
  auto member = objects.members().begin();
  for (image::ProcessImage& section : image.processes) {
    if (section.process.state == image::ProcessState::Zombie) continue;
    auto& numbers = section.descriptors.numbers;
    section.descriptors.locks = std::move(objects.locks[*member]);
    numbers = std::move(lists[*member++]);
    std::sort(numbers.begin(), numbers.end(), [](const auto& a, const auto& b) { return a.fd < b.fd; });
  }
}

}  // namespace

Status save_fds(Objects& objects, image::Image& image, Findings& findings) {
  STASIS_TRY(save_stdio(objects, image, findings));
  STASIS_TRY(save_pipes(objects, image, findings));
  SocketSaver sockets(objects, image, findings);
  STASIS_TRY(sockets.save());
  STASIS_TRY(save_eventfds(objects, image, findings));
  STASIS_TRY(save_timerfds(objects, image, findings));
  STASIS_TRY(save_signalfds(objects, image, findings));
  STASIS_TRY(save_pidfds(objects, image, findings));
  STASIS_TRY(save_terminals(objects, image, findings));
  STASIS_TRY(save_posix_queues(objects, image, findings));
  STASIS_TRY(save_files(objects, image, findings));
  STASIS_TRY(save_inotifies(objects, image, findings));
  STASIS_TRY(save_epolls(objects, image, findings));
  STASIS_TRY(sockets.fill());
  refuse_rest(objects, findings);
  STASIS_TRY(save_locks(objects, image, findings));
  list_descriptors(objects, image);
  return {};
}

}  // namespace stasis::checkpoint
