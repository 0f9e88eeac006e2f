#include "checkpoint/fds.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "os/pidfd.h"

namespace stasis::checkpoint {

namespace {

constexpr std::uint32_t kLargeFile = 0100000;  // O_LARGEFILE, which the kernel sets for every 64-bit process

// What the link text of something that cannot be saved says, in words.
struct Kind {
  const char* prefix;
  const char* what;
  const char* remedy;
};
constexpr Kind kUnsupported[] = {
    {"anon_inode:inotify", "an inotify instance", "close it before the checkpoint"},
    {"anon_inode:[fanotify]", "a fanotify group", "close it before the checkpoint"},
    {"anon_inode:[signalfd]", "a signalfd", "close it before the checkpoint"},
    {"anon_inode:[io_uring]", "an io_uring instance", "start the program without io_uring"},
    {"anon_inode:[userfaultfd]", "a userfaultfd", "close it before the checkpoint"},
    {"anon_inode:[perf_event]", "a perf event", "detach the profiler"},
    {"anon_inode:bpf", "a BPF object", "close it before the checkpoint"},
    {"anon_inode:[pidfd]", "a handle on a process (pidfd)", "close it before the checkpoint"},
    {"pidfd:", "a handle on a process (pidfd)", "close it before the checkpoint"},
    {"anon_inode:seccomp notify", "a seccomp listener", "close it before the checkpoint"},
    {"/memfd:", "a memory file (memfd)", "close it before the checkpoint, or use a file"},
    {"net:", "a handle on a namespace", "close it before the checkpoint"},
    {"mnt:", "a handle on a namespace", "close it before the checkpoint"},
};

Result<Fd> read_fd(pid_t pid, int number) {
  Fd fd;
  fd.number = number;
  const std::string name = std::to_string(number);
  fd.link = STASIS_TRY(procfs::read_link(pid, "fd/" + name));
  struct stat status;
  if (::stat(("/proc/" + std::to_string(pid) + "/fd/" + name).c_str(), &status) != 0) {
    return Error::of_errno("stat", "reading the application's descriptors").with_pid(pid).with_fd(number);
  }
  fd.mode = status.st_mode;
  fd.device = status.st_dev;
  fd.inode = status.st_ino;
  fd.device_number = status.st_rdev;
  fd.bytes = static_cast<std::uint64_t>(status.st_size);
  fd.links = status.st_nlink;
  fd.modified_ns = status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec;
  fd.info = procfs::Fields(STASIS_TRY(procfs::read_text(pid, "fdinfo/" + name)));
  const auto flags = static_cast<std::uint32_t>(fd.info.number("flags", 8));
  fd.close_on_exec = (flags & O_CLOEXEC) != 0;
  fd.flags = flags & ~(static_cast<std::uint32_t>(O_CLOEXEC) | kLargeFile);
  fd.position = static_cast<std::int64_t>(fd.info.number("pos"));
  return fd;
}

// kcmp tells descriptions apart; only numbers of the same file can be one.
Status group(pid_t pid, std::vector<Fd> fds, std::vector<Description>& descriptions) {
  std::multimap<std::string, std::size_t> by_file;
  for (Fd& fd : fds) {
    const std::string key = fd.link + ' ' + std::to_string(fd.inode) + ' ' + std::to_string(fd.flags);
    const auto [begin, end] = by_file.equal_range(key);
    bool found = false;
    for (auto it = begin; it != end && !found; ++it) {
      Description& candidate = descriptions[it->second];
      if (!STASIS_TRY(same_description(pid, candidate.first().number, pid, fd.number))) continue;
      candidate.fds.push_back(std::move(fd));
      found = true;
    }
    if (found) continue;
    by_file.emplace(key, descriptions.size());
    descriptions.emplace_back().fds.push_back(std::move(fd));
  }
  return {};
}

bool has_ends(const Fd& fd) { return fd.link_starts("pipe:[") || fd.link_starts("socket:["); }

}  // namespace

std::uint32_t Fd::type() const { return mode & S_IFMT; }
std::uint32_t Fd::access() const { return flags & O_ACCMODE; }

std::vector<image::FdNumber> Description::numbers() const {
  std::vector<image::FdNumber> result;
  for (const Fd& fd : fds) result.push_back({fd.number, fd.close_on_exec});
  return result;
}

std::size_t FdTable::count() const {
  std::size_t result = 0;
  for (const Description& description : descriptions) result += description.fds.size();
  return result;
}

const Description* FdTable::find(int number) const {
  for (const Description& description : descriptions) {
    for (const Fd& fd : description.fds) {
      if (fd.number == number) return &description;
    }
  }
  return nullptr;
}

void SharedLinks::look_for(const std::set<std::string>& links, pid_t except) {
  std::set<std::string> fresh;
  std::set_difference(links.begin(), links.end(), known_.begin(), known_.end(), std::inserter(fresh, fresh.end()));
  if (fresh.empty()) return;
  known_.insert(fresh.begin(), fresh.end());
  const auto processes = procfs::list_processes();
  if (!processes.ok()) return;
  for (const pid_t pid : processes.value()) {
    if (pid == except) continue;
    const auto fds = procfs::list_fds(pid);
    if (!fds.ok()) continue;  // another user's, or gone
    for (const int fd : fds.value()) {
      const auto link = procfs::read_link(pid, "fd/" + std::to_string(fd));
      if (link.ok() && fresh.count(link.value()) != 0) shared_.insert(link.value());
    }
  }
}

Result<FdTable> read_fds(const Subject& subject, SharedLinks& shared) {
  std::vector<Fd> fds;
  std::set<std::string> links;
  for (const int number : STASIS_TRY(procfs::list_fds(subject.pid))) {
    // The translation table's, which the program does not know.
    if (subject.ids.has_value() && number == static_cast<int>(subject.ids->header().parked_fd)) continue;
    auto fd = read_fd(subject.pid, number);
    // A program that runs opens and closes as it likes.
    if (!fd.ok() && subject.phase == Phase::Before && fd.error().kind == ErrorKind::NotFound) continue;
    fds.push_back(STASIS_TRY(std::move(fd)));
    if (has_ends(fds.back())) links.insert(fds.back().link);
  }
  FdTable table;
  Status grouped = group(subject.pid, std::move(fds), table.descriptions);
  if (!grouped.ok() && !(subject.phase == Phase::Before && grouped.error().error == EBADF)) return grouped.error();
  shared.look_for(links, subject.pid);
  table.shared = &shared;
  return table;
}

Result<std::size_t> save_fds(const Subject& subject, SharedLinks& shared, image::Image& image, Findings& findings) {
  FdTable table = STASIS_TRY(read_fds(subject, shared));
  STASIS_TRY(save_stdio(subject, table, image, findings));
  STASIS_TRY(save_pipes(subject, table, image, findings));
  STASIS_TRY(save_sockets(subject, table, image, findings));
  STASIS_TRY(save_eventfds(subject, table, image, findings));
  STASIS_TRY(save_timerfds(subject, table, image, findings));
  STASIS_TRY(save_epolls(subject, table, image, findings));
  STASIS_TRY(save_files(subject, table, image, findings));
  for (const Description& description : table.descriptions) {
    const Fd& fd = description.first();
    if (description.saved) continue;
    const auto kind = std::find_if(std::begin(kUnsupported), std::end(kUnsupported),
                                   [&](const Kind& k) { return fd.link_starts(k.prefix); });
    if (kind != std::end(kUnsupported)) {
      findings.add(subject.where(fd.number), kind->what, kind->remedy);
    } else {
      findings.add(subject.where(fd.number), "a kind of file that is not known: " + fd.link,
                   "close it before the checkpoint");
    }
  }
  for (const Description& description : table.descriptions) {
    for (const Fd& fd : description.fds) {
      if (fd.info.has("lock")) {
        findings.add(subject.where(fd.number), "a lock on " + fd.link, "release the lock before the checkpoint");
        break;
      }
    }
  }
  return table.count();
}

}  // namespace stasis::checkpoint
