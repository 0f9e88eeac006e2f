// The partial directory, and what comes after the snapshot has its name.
#pragma once

#include <string>

#include "base/deadline.h"
#include "checkpoint/tree.h"

namespace stasis::checkpoint {

// A directory that is removed with all that is in it, unless it got its final name.
class PartialDirectory {
 public:
  // Mode 0700. Busy if the final name is taken or the partial one exists.
  static Result<PartialDirectory> create(const std::string& path, const std::string& final_path);
  PartialDirectory(PartialDirectory&& other) noexcept
      : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}
  ~PartialDirectory();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  void committed() { path_.clear(); }

 private:
  PartialDirectory(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  UniqueFd fd_;
};

// Tells the keeper that the death to come is a checkpoint's, kills all processes while all their threads are held, and
// waits for their end.
Status end_application(Tree& tree);

}  // namespace stasis::checkpoint
