// What a checkpoint works on, shared by all files of this directory, and the list of what stands in its way.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "image/image.h"
#include "os/id_table.h"
#include "os/unique_fd.h"
#include "wire/descriptor.h"

namespace stasis::checkpoint {

// Everything is looked at twice by the same code: Before the stop, to refuse early and all at once, then Stopped, to
// save it.
enum class Phase { Before, Stopped };

// One line for each thing that cannot be saved: where it is, what it is, what to do.
class Findings {
 public:
  void add(const std::string& where, const std::string& what, const std::string& remedy) {
    lines_.push_back(where + ": " + what + "; " + remedy);
  }
  // As add, for what is about to end by itself, such as a connection that its peer has closed.
  void add_passing(const std::string& where, const std::string& what, const std::string& remedy) {
    add(where, what, remedy);
    ++passing_;
  }
  bool empty() const { return lines_.empty(); }
  // True if waiting a little may leave nothing.
  bool all_passing() const { return passing_ == lines_.size(); }

  // Unsupported, with all lines; `empty` must be false.
  Error error(pid_t pid) && {
    Error error = Error::plain(
        ErrorKind::Unsupported,
        lines_.size() == 1 ? "the application has something that cannot be saved: " + lines_.front()
                           : "the application has " + std::to_string(lines_.size()) + " things that cannot be saved");
    error.pid = pid;
    error.remedy = "docs/state.md lists what is saved, how, and what is not";
    error.details = std::move(lines_);
    return error;
  }

 private:
  std::vector<std::string> lines_;
  std::size_t passing_ = 0;
};

// Pages that a restore laid over a private mapping of a file: to the program they are that mapping's changed pages.
struct BackedRange {
  std::uint64_t start, end;
  std::string path;
  std::uint64_t inode;
  std::uint64_t file_offset;  // of the page at `start`
};

// What /proc puts behind the name of a file that has been removed.
inline constexpr char kDeleted[] = " (deleted)";

struct Subject {
  const Options& options;
  const CancelToken& cancel;
  pid_t pid;
  UniqueFd process;  // pidfd
  Phase phase = Phase::Before;
  wire::Descriptor runtime{};
  std::string runtime_build_id;                    // hex; empty while the process is on its way into the runtime
  std::uint64_t stacked_filters = 0;               // of the runtime's, on top of its first
  std::vector<wire::PageFileIdentity> page_files;  // files whose private mappings stand for anonymous memory ...
  std::vector<BackedRange> backed_ranges;          // ... except here; ascending
  std::vector<wire::RewrittenSite> sites;          // call sites that the runtime has rewritten ...
  std::vector<wire::StubArea> stub_areas;          // ... and what they jump to
  std::optional<IdTable> ids;                      // nothing: its ids are the system's

  std::string where() const { return "process " + std::to_string(pid); }
  std::string where(int fd) const { return where() + ", fd " + std::to_string(fd); }
};

Status check_cancelled(const CancelToken& cancel);

}  // namespace stasis::checkpoint
