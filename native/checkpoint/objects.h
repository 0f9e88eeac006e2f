// Open file descriptions: everything that the descriptors of the application's processes stand for, each once, however many
// numbers of however many processes it has.
//
// The files of this directory named after a kind of file take the descriptions they are responsible for and make objects of
// them: a record with a number of its own (image/image.h). fds.cc then writes each process's list of numbers.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/in_flight.h"
#include "checkpoint/outside.h"
#include "checkpoint/subject.h"
#include "image/image.h"
#include "os/procfs.h"

namespace stasis::checkpoint {

// One number of one process, as /proc/PID/fd and fdinfo show it.
struct Fd {
  const Subject* owner = nullptr;
  bool in_flight = false;  // no member's: the owner is the process that saves, which holds a duplicate
  int number = -1;
  std::string link;  // path, "pipe:[inode]", "socket:[inode]", "anon_inode:[kind]"
  std::uint32_t mode = 0;
  std::uint64_t device = 0, inode = 0, device_number = 0, bytes = 0, links = 0;
  std::int64_t modified_ns = 0;
  std::uint32_t flags = 0;  // open(2) access mode and status flags
  bool close_on_exec = false;
  std::int64_t position = 0;
  procfs::Fields info{""};
  std::uint32_t object = 0, end = 0;  // what it stands for in the image; 0: nothing so far

  bool link_starts(const char* prefix) const { return link.rfind(prefix, 0) == 0; }
  std::uint32_t type() const;    // S_IFMT bits
  std::uint32_t access() const;  // O_ACCMODE
  std::string where() const { return in_flight ? "a descriptor in flight" : owner->where(number); }
  // The same open file description, as ours: nothing may be read from it that the process should see.
  Result<UniqueFd> duplicate() const;
};

// Numbers that are one open file description; at least one, by process and then ascending.
struct Description {
  std::vector<Fd> fds;
  bool saved = false;  // a record, or a finding, speaks of it

  const Fd& first() const { return fds.front(); }
  // All its numbers stand for this end of that object.
  void becomes(std::uint32_t object, std::uint32_t end = 0);
};

// Pipes and sockets that some process outside has open too: the link texts. The other processes that /proc lets us look
// into are asked, which are all that can have received an end of a user's pipe without privilege.
class SharedLinks {
 public:
  // Looks for `links` that were not looked for before, in all processes but the application's.
  void look_for(const std::set<std::string>& links, const std::set<pid_t>& except);
  bool shared(const std::string& link) const { return shared_.count(link) != 0; }

 private:
  std::set<std::string> known_, shared_;
};

// The members of an application, its first process first.
using Members = std::span<const Subject* const>;

class Objects {
 public:
  // Reads the descriptors of all members.
  static Result<Objects> read(Members members, SharedLinks& shared);

  std::vector<Description> descriptions;                         // by their first number
  std::map<const Subject*, std::vector<image::FileLock>> locks;  // of the members
  UnixQueues unix_queues;                                        // of a stopped application
  std::vector<UniqueFd> to_reset;                                // duplicates of its TCP connections
  OutsideConnections* outside = nullptr;                         // of a stopped application
  // For an application that is about to be ended: its connections end with a reset once nobody has them, which leaves their
  // addresses free at once.
  void reset_connections();

  Members members() const { return members_; }
  const Subject& first_member() const { return *members_.front(); }
  Phase phase() const { return first_member().phase; }
  const Options& options() const { return first_member().options; }
  bool shared_outside(const std::string& link) const { return shared_->shared(link); }
  // What no member has may be in flight, which shows once the application is stopped: true if that cannot be, or some
  // process outside is seen to have it.
  bool is_outside(const std::string& link);

  // The index of the description that `fd`, which is ours, is a duplicate of: one of those known, or a new one, for which
  // `fd` is kept.
  Result<std::size_t> adopt(UniqueFd fd);
  // Who else has what was adopted.
  Status look_at_adopted();

  // A number for a new object.
  std::uint32_t next() { return next_++; }
  std::size_t count() const;  // of fds

 private:
  Objects(Members members, SharedLinks& shared) : members_(members), shared_(&shared) {}

  Members members_;
  SharedLinks* shared_;
  std::unique_ptr<Subject> self_;  // this process, as the owner of what was adopted
  std::vector<UniqueFd> adopted_;
  std::uint32_t next_ = 1;
};

}  // namespace stasis::checkpoint
