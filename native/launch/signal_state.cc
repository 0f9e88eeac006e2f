#include "launch/signal_state.h"

#include <csignal>

#include "arch/x86_64/raw_syscall.h"

namespace stasis::launch {

namespace {

constexpr std::uint64_t kMaskBytes = sizeof(std::uint64_t);

void set_action(int signal, const void* action, void* before) {
  raw_syscall6(__NR_rt_sigaction, static_cast<u64>(signal), reinterpret_cast<u64>(action),
               reinterpret_cast<u64>(before), kMaskBytes, 0, 0);
}

void set_mask(std::uint64_t mask, std::uint64_t* before) {
  raw_syscall6(__NR_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<u64>(&mask), reinterpret_cast<u64>(before),
               kMaskBytes, 0, 0);
}

}  // namespace

void default_signal_actions() {
  const std::uint64_t default_action[4] = {};
  for (int signal = 1; signal <= 64; ++signal) set_action(signal, default_action, nullptr);
}

void clear_signal_mask() { set_mask(0, nullptr); }

BlockedSignals::BlockedSignals() { set_mask(~std::uint64_t{0}, &before_); }
BlockedSignals::~BlockedSignals() { set_mask(before_, nullptr); }

SavedSignalActions::SavedSignalActions() {
  for (int signal = 1; signal <= kSignals; ++signal) set_action(signal, nullptr, &actions_[signal - 1]);
}

void SavedSignalActions::put_back() const {
  for (int signal = 1; signal <= kSignals; ++signal) set_action(signal, &actions_[signal - 1], nullptr);
}

}  // namespace stasis::launch
