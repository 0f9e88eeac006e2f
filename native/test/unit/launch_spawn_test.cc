// Starts that do not come to their end: a file with a lease keeps execve(2) waiting, as a file system that does not answer
// does (fcntl(2), F_SETLEASE).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>

#include "launch/spawn.h"
#include "os/unique_fd.h"
#include "test/check.h"

namespace stasis::launch {
namespace {

using namespace std::chrono_literals;

// A program that cannot be executed while this lives.
class LeasedProgram {
 public:
  LeasedProgram() {
    char name[] = "/tmp/stasis-spawn-XXXXXX";
    directory_ = mkdtemp(name);
    path = directory_ + "/program";
    std::ofstream(path, std::ios::binary) << std::ifstream("/bin/true", std::ios::binary).rdbuf();
    CHECK(chmod(path.c_str(), 0755) == 0);
    fd_ = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    // The holder is told by a signal when somebody opens the file; this one is ignored unless it is handled.
    CHECK(fcntl(fd_.get(), F_SETSIG, SIGURG) == 0);
    CHECK(fcntl(fd_.get(), F_SETLEASE, F_WRLCK) == 0);
  }
  ~LeasedProgram() {
    unlink(path.c_str());
    rmdir(directory_.c_str());
  }
  // Closing would not do: what is being spawned has a copy of the descriptor.
  void release() { CHECK(fcntl(fd_.get(), F_SETLEASE, F_UNLCK) == 0); }

  std::string path;

 private:
  std::string directory_;
  UniqueFd fd_;
};

// A pipe whose writing end a spawned program holds until it ends.
struct Life {
  Life() {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    reader = UniqueFd(ends[0]);
    writer = UniqueFd(ends[1]);
  }
  bool over() {
    writer.reset();
    pollfd entry{reader.get(), POLLIN, 0};
    return poll(&entry, 1, 5000) == 1 && (entry.revents & POLLHUP) != 0;
  }
  UniqueFd reader, writer;
};

Spawn spawn_of(const std::string& path, const Life& life) {
  Spawn spawn;
  spawn.path = path;
  spawn.arguments = {path};
  spawn.cwd = "/";
  spawn.stdio = {0, 1, 2};
  spawn.passed = {life.writer.get()};
  return spawn;
}

TEST(spawn_gives_up_a_program_that_does_not_execute) {
  LeasedProgram program;
  Life life;
  auto spawning = Spawning::begin(spawn_of(program.path, life));
  if (!CHECK(spawning.ok())) return;
  const Status status = spawning.value()->finish(Deadline::in(100ms));
  if (!CHECK(!status.ok())) return;
  CHECK(status.error().kind == ErrorKind::Timeout);
  CHECK_EQUAL(status.error().doing, "executing " + program.path);
  CHECK(life.over());
}

TEST(spawn_gives_up_a_child_that_does_not_execute) {
  LeasedProgram program;
  Life keeper, child;
  Spawn spawn = spawn_of("/bin/true", keeper);
  spawn.child = std::make_unique<Spawn>(spawn_of(program.path, child));
  auto spawning = Spawning::begin(std::move(spawn));
  if (!CHECK(spawning.ok())) return;
  const Status status = spawning.value()->finish(Deadline::in(100ms));
  if (!CHECK(!status.ok())) return;
  CHECK(status.error().kind == ErrorKind::Timeout);
  CHECK(child.over());
  CHECK(keeper.over());
}

TEST(spawn_waits_for_a_program_that_executes_late) {
  LeasedProgram program;
  Life life;
  auto spawning = Spawning::begin(spawn_of(program.path, life));
  if (!CHECK(spawning.ok())) return;
  usleep(50'000);
  program.release();
  CHECK(spawning.value()->finish(Deadline::in(10s)).ok());
  CHECK(life.over());
}

}  // namespace
}  // namespace stasis::launch
