// CancelToken: set by any thread, read wait-free by the operation it belongs to.
#pragma once

#include <atomic>

namespace stasis {

class CancelToken {
 public:
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

}  // namespace stasis
