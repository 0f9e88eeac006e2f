#include "checkpoint/objects.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "os/pidfd.h"

namespace stasis::checkpoint {

namespace {

constexpr std::uint32_t kLargeFile = 0100000;  // O_LARGEFILE, which the kernel sets for every 64-bit process

Result<Fd> read_fd(const Subject& owner, int number) {
  const pid_t pid = owner.pid;
  Fd fd;
  fd.owner = &owner;
  fd.number = number;
  const std::string name = std::to_string(number);
  fd.link = STASIS_TRY(procfs::read_link(pid, "fd/" + name));
  struct stat status;
  if (::stat(("/proc/" + std::to_string(procfs::stand_in_of(pid)) + "/fd/" + name).c_str(), &status) != 0) {
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
Status group(std::vector<Fd> fds, std::vector<Description>& descriptions) {
  std::multimap<std::string, std::size_t> by_file;
  for (Fd& fd : fds) {
    const std::string key = fd.link + ' ' + std::to_string(fd.inode) + ' ' + std::to_string(fd.flags);
    const auto [begin, end] = by_file.equal_range(key);
    bool found = false;
    for (auto it = begin; it != end && !found; ++it) {
      Description& candidate = descriptions[it->second];
      if (!STASIS_TRY(
              same_description(candidate.first().owner->pid, candidate.first().number, fd.owner->pid, fd.number)))
        continue;
      candidate.fds.push_back(std::move(fd));
      found = true;
    }
    if (found) continue;
    by_file.emplace(key, descriptions.size());
    descriptions.emplace_back().fds.push_back(std::move(fd));
  }
  return {};
}

bool has_ends(const Fd& fd) { return fd.link_starts("pipe:[") || fd.link_starts("socket:[") || fd.type() == S_IFIFO; }

}  // namespace

std::uint32_t Fd::type() const { return mode & S_IFMT; }
std::uint32_t Fd::access() const { return flags & O_ACCMODE; }

Result<UniqueFd> Fd::duplicate() const { return duplicate_fd_of(owner->process, number); }

void Description::becomes(std::uint32_t object, std::uint32_t end) {
  for (Fd& fd : fds) {
    fd.object = object;
    fd.end = end;
  }
}

std::size_t Objects::count() const {
  std::size_t result = 0;
  for (const Description& description : descriptions) result += description.fds.size();
  return result;
}

void SharedLinks::look_for(const std::set<std::string>& links, const std::set<pid_t>& except) {
  std::set<std::string> fresh;
  std::set_difference(links.begin(), links.end(), known_.begin(), known_.end(), std::inserter(fresh, fresh.end()));
  if (fresh.empty()) return;
  known_.insert(fresh.begin(), fresh.end());
  const auto processes = procfs::list_processes();
  if (!processes.ok()) return;
  for (const pid_t pid : processes.value()) {
    if (except.contains(pid)) continue;
    const auto fds = procfs::list_fds(pid);
    if (!fds.ok()) continue;  // another user's, or gone
    for (const int fd : fds.value()) {
      const auto link = procfs::read_link(pid, "fd/" + std::to_string(fd));
      if (link.ok() && fresh.count(link.value()) != 0) shared_.insert(link.value());
    }
  }
}

Result<Objects> Objects::read(Members members, SharedLinks& shared) {
  std::vector<Fd> fds;
  std::set<std::string> links;
  std::set<pid_t> pids;
  for (const Subject* member : members) {
    pids.insert(member->pid);
    for (const int number : STASIS_TRY(procfs::list_fds(member->pid))) {
      // The translation table's, which the program does not know.
      if (member->ids.has_value() && number == static_cast<int>(member->ids->header().parked_fd)) continue;
      auto fd = read_fd(*member, number);
      // A program that runs opens and closes as it likes.
      if (!fd.ok() && member->phase == Phase::Before && fd.error().kind == ErrorKind::NotFound) continue;
      fds.push_back(STASIS_TRY(std::move(fd)));
      if (has_ends(fds.back())) links.insert(fds.back().link);
    }
  }
  Objects objects(members, shared);
  Status grouped = group(std::move(fds), objects.descriptions);
  if (!grouped.ok() && !(objects.phase() == Phase::Before && grouped.error().error == EBADF)) return grouped.error();
  shared.look_for(links, pids);
  if (objects.phase() == Phase::Stopped) objects.unix_queues = STASIS_TRY(read_unix_queues(objects));
  return objects;
}

Result<std::size_t> Objects::adopt(UniqueFd fd) {
  if (!self_) {
    self_.reset(
        new Subject{options(), first_member().cancel, ::getpid(), STASIS_TRY(open_process(::getpid())), phase()});
  }
  Fd seen = STASIS_TRY(read_fd(*self_, fd.get()));
  seen.in_flight = true;
  for (std::size_t i = 0; i < descriptions.size(); ++i) {
    const Fd& known = descriptions[i].first();
    if (known.link != seen.link || known.inode != seen.inode || known.flags != seen.flags) continue;
    if (STASIS_TRY(same_description(known.owner->pid, known.number, self_->pid, seen.number))) return i;
  }
  descriptions.emplace_back().fds.push_back(std::move(seen));
  adopted_.push_back(std::move(fd));
  return descriptions.size() - 1;
}

bool Objects::is_outside(const std::string& link) {
  const bool sockets = std::any_of(descriptions.begin(), descriptions.end(),
                                   [](const Description& d) { return d.first().link_starts("socket:["); });
  if (phase() == Phase::Stopped || !sockets) return true;
  std::set<pid_t> pids;
  for (const Subject* member : members_) pids.insert(member->pid);
  shared_->look_for({link}, pids);
  return shared_outside(link);
}

void Objects::reset_connections() {
  const linger at_once{1, 0};
  for (const UniqueFd& socket : to_reset) ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

Status Objects::look_at_adopted() {
  std::set<std::string> links;
  std::set<pid_t> pids{::getpid()};
  for (const Subject* member : members_) pids.insert(member->pid);
  for (const Description& description : descriptions) {
    if (description.first().in_flight && has_ends(description.first())) links.insert(description.first().link);
  }
  shared_->look_for(links, pids);
  return {};
}

}  // namespace stasis::checkpoint
