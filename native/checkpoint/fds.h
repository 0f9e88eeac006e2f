// The application's file descriptors, grouped into open file descriptions.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/subject.h"
#include "image/records.h"
#include "os/procfs.h"

namespace stasis::checkpoint {

// One number, as /proc/PID/fd and fdinfo show it.
struct Fd {
  int number = -1;
  std::string link;  // path, "pipe:[inode]", "socket:[inode]", "anon_inode:[kind]"
  std::uint32_t mode = 0;
  std::uint64_t device = 0, inode = 0, device_number = 0, bytes = 0, links = 0;
  std::int64_t modified_ns = 0;
  std::uint32_t flags = 0;  // open(2) access mode and status flags
  bool close_on_exec = false;
  std::int64_t position = 0;
  procfs::Fields info{""};

  bool link_starts(const char* prefix) const { return link.rfind(prefix, 0) == 0; }
  std::uint32_t type() const;    // S_IFMT bits
  std::uint32_t access() const;  // O_ACCMODE
};

// Numbers that are one open file description; at least one, ascending.
struct Description {
  std::vector<Fd> fds;
  bool saved = false;  // a record, or a finding, speaks of it

  const Fd& first() const { return fds.front(); }
  std::vector<image::FdNumber> numbers() const;
};

// Pipes and sockets that some other process has open too: the link texts. The other processes that /proc lets us look
// into are asked, which are all that can have received an end of a user's pipe without privilege.
class SharedLinks {
 public:
  // Looks for `links` that were not looked for before.
  void look_for(const std::set<std::string>& links, pid_t except);
  bool shared(const std::string& link) const { return shared_.count(link) != 0; }

 private:
  std::set<std::string> known_, shared_;
};

struct FdTable {
  std::vector<Description> descriptions;  // by their lowest number
  const SharedLinks* shared = nullptr;

  std::size_t count() const;
  const Description* find(int number) const;
};

Result<FdTable> read_fds(const Subject& subject, SharedLinks& shared);

// One file per kind. Each takes the descriptions it is responsible for, marks them saved, and adds records to `image`
// and lines to `findings`. Contents (pipes, socket queues) are read only when the subject is stopped. The order is that
// of save_fds.
Status save_stdio(const Subject& subject, FdTable& table, image::Image& image, Findings& findings);
Status save_pipes(const Subject& subject, FdTable& table, image::Image& image, Findings& findings);
Status save_sockets(const Subject& subject, FdTable& table, image::Image& image, Findings& findings);
Status save_eventfds(const Subject& subject, FdTable& table, image::Image& image, Findings& findings);
Status save_timerfds(const Subject& subject, FdTable& table, image::Image& image, Findings& findings);
Status save_epolls(const Subject& subject, FdTable& table, image::Image& image, Findings& findings);
Status save_files(const Subject& subject, FdTable& table, image::Image& image, Findings& findings);

// All of the above, then a finding for everything that is left. Returns the number of fds.
Result<std::size_t> save_fds(const Subject& subject, SharedLinks& shared, image::Image& image, Findings& findings);

}  // namespace stasis::checkpoint
