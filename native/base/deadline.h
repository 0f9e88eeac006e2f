// A point in time by which a wait must be over. Every wait of host code has one.
#pragma once

#include <chrono>

namespace stasis {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  static Deadline in(std::chrono::nanoseconds time) { return Deadline(Clock::now() + time); }
  static Deadline at(Clock::time_point time) { return Deadline(time); }

  Clock::time_point time() const { return at_; }

  bool passed() const { return Clock::now() >= at_; }
  // For poll(2): what is left, rounded up, at least 0.
  int milliseconds_left() const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(at_ - Clock::now()).count();
    return left < 0 ? 0 : static_cast<int>(left);
  }

 private:
  explicit Deadline(Clock::time_point at) : at_(at) {}
  Clock::time_point at_;
};

}  // namespace stasis
