#include "launch/signal_state.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

namespace stasis::launch {

namespace {

constexpr std::size_t kMaskBytes = sizeof(std::uint64_t);

void set_mask(std::uint64_t mask, std::uint64_t* before) {
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, before, kMaskBytes);
}

}  // namespace

void default_signal_actions() {
  const std::uint64_t default_action[4] = {};
  for (int signal = 1; signal <= 64; ++signal) syscall(SYS_rt_sigaction, signal, default_action, nullptr, kMaskBytes);
}

void clear_signal_mask() { set_mask(0, nullptr); }

BlockedSignals::BlockedSignals() { set_mask(~std::uint64_t{0}, &before_); }
BlockedSignals::~BlockedSignals() { set_mask(before_, nullptr); }

SavedSignalActions::SavedSignalActions() {
  for (int signal = 1; signal <= kSignals; ++signal)
    syscall(SYS_rt_sigaction, signal, nullptr, &actions_[signal - 1], kMaskBytes);
}

void SavedSignalActions::put_back() const {
  for (int signal = 1; signal <= kSignals; ++signal)
    syscall(SYS_rt_sigaction, signal, &actions_[signal - 1], nullptr, kMaskBytes);
}

}  // namespace stasis::launch
