// The application's mappings: what each is, and which of its pages must be stored.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "checkpoint/subject.h"
#include "image/records.h"
#include "os/procfs.h"

namespace stasis::checkpoint {

// Which pages of a piece of memory are stored.
enum class PageRule {
  None,      // a shared file mapping: the file has them; shared memory: they are stored with the object
  Changed,   // a private file mapping: those that are no longer the file's
  All,       // pages of an image that stand for changed pages of a private file mapping
  Present,   // anonymous memory: those that exist and are not the kernel's zero page
  Readable,  // a private mapping of a file that has no name any more: read all, what lies behind its end is zeros
  NonZero,  // memory whose pages are not all in the page tables (from an image's page file): read all, keep what is not
            // zero
};

struct Piece {
  std::uint64_t start = 0, end = 0;
  PageRule rule = PageRule::None;
};

struct Range {
  std::uint64_t start = 0, end = 0;
};

class SharedMemories;

// A record and the pieces it is made of: neighbouring mappings that only a restore had split are one record again.
struct PlannedMapping {
  image::Mapping record;
  std::vector<Piece> pieces;
};

// What tells a mapped file from another one or from what it becomes: size, times, inode, and its build id or else a checksum of its content.
// Asked once per file, so it is done before the stop.
class MappedFileFacts {
 public:
  // Fills the file fields of the record. False if the path does not lead to the mapped file (any more).
  bool fill(const procfs::MapLine& line, image::Mapping& record);

 private:
  struct Facts {
    bool found = false, regular = false, overlay = false;
    std::uint64_t inode = 0, bytes = 0;
    std::int64_t modified_ns = 0, changed_ns = 0;
    std::string build_id;
    bool build_id_read = false;
    std::uint64_t checksum = 0;
    bool checksum_read = false;
  };
  Facts& facts_of(const std::string& path);
  void read_checksum(const std::string& path, Facts& facts);
  std::map<std::string, Facts> files_;
};

// The mappings with their VmFlags. smaps takes milliseconds, so the flags of `earlier` (read before the stop) are used
// for mappings that did not change, and smaps is read again only if some did.
Result<std::vector<procfs::MapLine>> read_mappings(pid_t pid, const std::vector<procfs::MapLine>& earlier);

// Ascending, without the runtime's window and [vsyscall].
Result<std::vector<PlannedMapping>> plan_mappings(const Subject& subject, const std::vector<procfs::MapLine>& lines,
                                                  MappedFileFacts& files, SharedMemories& shared, Findings& findings);

}  // namespace stasis::checkpoint
