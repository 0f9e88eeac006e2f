// Starting a program that is nobody's child here: no zombie to reap and no SIGCHLD for a caller that manages children
// of its own (libuv). Done by two clones with shared memory, as posix_spawn(3) does it with one: the first child makes
// the second and ends; it has no exit signal, so its end is seen only by the wait for it here, and the second is
// inherited by init or the nearest subreaper. The second may in turn have a child, which is executed beside it.
#pragma once

#include <sys/types.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace stasis::launch {

struct Spawn {
  // As an argument: becomes the pid of `child`.
  static constexpr char kPidOfChild[] = "\1pid";

  std::string path;  // of the program, absolute
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::string cwd;                       // absolute
  std::array<int, 3> stdio{-1, -1, -1};  // become 0, 1, 2
  std::vector<int> passed;               // become 3, 4, ...; no other descriptor is left open
  std::unique_ptr<Spawn> child;          // the program's own child; has none itself
};

// A program on its way: execve takes some hundred microseconds, in which the caller can do better than wait.
class Spawning {
 public:
  // The program gets a session of its own, an empty signal mask and default actions; so does its child.
  static Result<std::unique_ptr<Spawning>> begin(Spawn spawn);

  // Waits until the program and its child are executing; what failed, if one is not. Timeout when the deadline passes,
  // as a file system can let it: those that do not execute by then are killed. The descriptors may be closed after this.
  Status finish(Deadline deadline);

  // Of the program, once finish() has returned success. Whoever inherits it reaps it.
  pid_t pid() const;
  pid_t child_pid() const;  // 0: there is none

  ~Spawning();
  Spawning(const Spawning&) = delete;
  Spawning& operator=(const Spawning&) = delete;

 private:
  explicit Spawning(Spawn spawn);
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

// A null-terminated array of pointers into `words`, which must outlive it.
std::vector<char*> pointers_to(const std::vector<std::string>& words);

}  // namespace stasis::launch
