// The files that a program has mapped: libraries, data. A restored program goes on with the file as it is now, so the
// file must be what it was: the same inode, of the same size and times, or, where that is not so (a package installed again, a copied tree, a
// container layer), of the same size and GNU build id, or without one of the same content. Long files without a build id, and those that are
// written through their mapping, go by size and modification time.
#pragma once

#include <map>
#include <set>
#include <string>

#include "base/result.h"
#include "image/records.h"
#include "os/file.h"

namespace stasis::restore {

class MappedFiles {
 public:
  // Of `settled` only the name counts; those that are `missing` are about to be made.
  MappedFiles(const std::set<std::string>& settled, const std::set<std::string>& missing)
      : settled_(settled), missing_(missing) {}

  // Status of the mapping's file, checked once per path. Incompatible, naming the path and what differs.
  Result<FileStatus> check(const image::Mapping& mapping);

 private:
  const std::set<std::string>& settled_;
  const std::set<std::string>& missing_;
  std::map<std::string, FileStatus> checked_;
};

}  // namespace stasis::restore
