// Named files whose content the image holds: those of POSIX shared memory (/dev/shm), always, and files that the application had open for writing,
// where the checkpoint was told to store them.
//
//   file of shared memory   gone: made anew. The same content: taken as it is. In use by a process, or other content: as the policy says.
//   any other               as at the checkpoint, by size and time: taken as it is. Else restore-content puts the content back, and the other
//                           policies leave it to the checks of files.cc and mapped_files.cc.
//
// Rules: decide() changes nothing and finds all that is in the way of its part. Content is written to a file beside, which then changes names with
// the one that is there (RENAME_EXCHANGE), so that who has the old one open keeps it whole, and all can be taken back until keep().
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/image.h"
#include "restore/prepare.h"

namespace stasis::restore {

class FileContents {
 public:
  // Failed, with the path, where a file stands in the way.
  static Result<FileContents> decide(const image::Image& image, const RestoreInputs& inputs);

  FileContents() = default;
  FileContents(FileContents&&) = default;
  FileContents& operator=(FileContents&& other) noexcept;
  ~FileContents() { take_back(); }

  const std::set<std::string>& settled() const { return settled_; }
  const std::set<std::string>& missing() const { return missing_; }
  bool changes_anything() const { return !changes_.empty(); }

  // All, or none. `image` and the page files must be those that were decided about.
  Status put_in_place(const image::Image& image, const RestoreInputs& inputs);
  void keep();  // for good

 private:
  struct Change {
    std::size_t memory = 0;  // index of the record
    std::string path, beside;
    std::int64_t modified_ns = 0;
    bool replaces = false;
    bool done = false;
  };
  Status decide_one(const image::Image& image, const RestoreInputs& inputs, std::size_t index);
  Status put(const image::SharedMemory& memory, const RestoreInputs& inputs, Change& change);
  void take_back();

  std::set<std::string> settled_, missing_;
  std::vector<Change> changes_;
};

}  // namespace stasis::restore
