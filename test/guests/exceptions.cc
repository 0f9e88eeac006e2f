// C++ exceptions: thrown, caught and unwound through frames that were there at the checkpoint, in two threads, with destructors run.
// mode: checkpoint
// build: static
#include <stdexcept>
#include <string>
#include <thread>

#include "guest.h"

namespace {

int destroyed;

struct Counted {
  ~Counted() { __atomic_fetch_add(&destroyed, 1, __ATOMIC_SEQ_CST); }
};

[[gnu::noinline]] void throw_at(int depth, bool checkpoint) {
  Counted here;
  if (depth > 0) {
    throw_at(depth - 1, checkpoint);
    return;
  }
  if (checkpoint)
    guest_checkpoint_here();
  else
    while (!guest_may_go()) guest_sleep_ms(10);
  throw std::runtime_error("from the bottom");
}

void catch_it(bool checkpoint) {
  try {
    throw_at(20, checkpoint);
    CHECK(false);
  } catch (const std::exception& error) {
    CHECK(std::string(error.what()) == "from the bottom");
    try {
      throw;
    } catch (const std::runtime_error&) {
      return;
    }
  }
  CHECK(false);
}

}  // namespace

int main() {
  std::thread other(catch_it, false);
  catch_it(true);
  other.join();
  CHECK(destroyed == 42);
  std::thread([] { catch_it(false); }).join();
  CHECK(destroyed == 63);
  return guest_pass();
}
