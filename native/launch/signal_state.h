// The signal state that a program inherits over execve: which signals are blocked and which ignored. Direct system
// calls, since glibc keeps signals 32 and 33 out of the reach of its own functions, and because a child that shares our
// memory must not write our errno.
#pragma once

#include <cstdint>

namespace stasis::launch {

// Actions of all signals to default. Node ignores SIGPIPE and SIGXFSZ, which execve would hand on.
void default_signal_actions();

// Unblocks everything for the calling thread.
void clear_signal_mask();

// Blocks every signal for the calling thread until the scope ends.
class BlockedSignals {
 public:
  BlockedSignals();
  ~BlockedSignals();
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  std::uint64_t before_ = 0;
};

// The actions as they are, to be put back if an execve fails.
class SavedSignalActions {
 public:
  SavedSignalActions();
  void put_back() const;

 private:
  struct KernelAction {
    std::uint64_t handler = 0, flags = 0, restorer = 0, mask = 0;
  };
  static constexpr int kSignals = 64;
  KernelAction actions_[kSignals];
};

}  // namespace stasis::launch
