// Starting a program that is nobody's child here: no zombie to reap and no SIGCHLD for a caller that manages children
// of its own (libuv). Done by two clones with shared memory, as posix_spawn(3) does it with one: the first child makes
// the second and ends; it has no exit signal, so its end is seen only by the wait for it here, and the second is
// inherited by init or the nearest subreaper.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace stasis::launch {

struct Spawn {
  std::string path;  // of the program, absolute
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::string cwd;                       // absolute
  std::array<int, 3> stdio{-1, -1, -1};  // become 0, 1, 2
  std::vector<int> passed;               // become 3, 4, ...; no other descriptor is left open
};

// A program on its way: execve takes some hundred microseconds, in which the caller can do better than wait.
class Spawning {
 public:
  // The program gets a session of its own, an empty signal mask and default actions.
  static Result<std::unique_ptr<Spawning>> begin(Spawn spawn);

  // Waits until the program is executing; what failed, if it is not. The descriptors may be closed after this.
  Status finish();

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
